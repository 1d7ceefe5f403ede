"""Generation through clients and command against the service itself, with the fixture."""

import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from primase import Sampling, TokenReport, exceptions, prompt_exchange
from primase.evo2.v1 import evo2_service_pb2_grpc
from primase.generation_results import Finished, Heartbeat, Started, Tokens
from primase_server.settings import ModelSettings
from tests.clients.real_server import real_server
from tests.clients.scripted import BOTH_CLIENTS, ScriptedEvo2, abort, serving, status, with_client
from tests.conditions import until
from tests.e2e.server import COMMAND

MODEL = "evo2-fixture"
PROMPTS = [("long", "ACGTTGCAGGATCCATTACG" * 10), ("short", "ACGTN"), ("one", "A")]
SEED = Sampling(top_k=4, seed=7)
BASES = {"alphabet": "ACGT", "num_tokens": 20}

both_clients = pytest.mark.parametrize("run", BOTH_CLIENTS)


@pytest.fixture(scope="module")
def target() -> Iterator[str]:
    with real_server(ModelSettings(MODEL, "fixture")) as address:
        yield address


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_exchange, "_FIRST_WAIT_S", 0.001)


def ask(run: Any, target: str, use: Any) -> Any:
    return run(target, lambda client: use(client.evo2(MODEL)))


def made(run: Any, target: str, *args: Any, **options: Any) -> list[str]:
    results = ask(run, target, lambda evo2: evo2.generate(*args, **{**BASES, **options}))
    return [result.value.text for result in results]


@both_clients
def test_greedy_is_the_same_twice(run: Any, target: str) -> None:
    greedy = Sampling(temperature=0)
    first = made(run, target, PROMPTS, sampling=greedy)

    assert first == made(run, target, PROMPTS, sampling=greedy)
    assert [len(text) for text in first] == [20, 20, 20]
    assert set("".join(first)) <= set("ACGT")


@both_clients
def test_a_seed_names_the_draws(run: Any, target: str) -> None:
    first = made(run, target, PROMPTS, sampling=SEED, num_samples=2)

    assert first == made(run, target, PROMPTS, sampling=SEED, num_samples=2)
    assert first != made(run, target, PROMPTS, sampling=Sampling(top_k=4, seed=8), num_samples=2)
    assert len(set(first)) == 6


@both_clients
def test_reported_values_agree(run: Any, target: str) -> None:
    report = TokenReport(True, True, True, True, 3)
    (result,) = ask(run, target, lambda evo2: evo2.generate("ACGT", num_tokens=9, report=report))

    tokens = result.value.tokens
    log_softmax = tokens.logits - np.logaddexp.reduce(tokens.logits, axis=1, keepdims=True)
    at_ids = np.take_along_axis(log_softmax, tokens.token_ids[:, None].astype(int), axis=1)[:, 0]
    np.testing.assert_allclose(tokens.sampled_probs, np.exp(at_ids), rtol=1e-4)
    assert tokens.logits.shape == (9, 512)
    assert (tokens.log_probs <= 0).all()
    assert (tokens.elapsed_ms > 0).all()
    np.testing.assert_array_equal(tokens.alternative_ids[:, 0], tokens.logits.argmax(axis=1))
    expected = np.sort(log_softmax, axis=1)[:, :-4:-1]
    np.testing.assert_allclose(tokens.alternative_log_probs, expected, rtol=1e-4, atol=1e-5)


@both_clients
def test_events_of_a_stream(run: Any, target: str) -> None:
    events = ask(run, target, lambda evo2: evo2.stream("ACGT", sampling=SEED, **BASES))

    assert isinstance(events[0], Started)
    assert (events[0].model, events[0].seed, events[0].num_prompt_tokens) == (MODEL, 7, 4)
    assert isinstance(events[-1], Finished)
    assert (events[-1].reason, events[-1].num_generated_tokens) == ("length", 20)
    assert 0 < (events[-1].mass_outside_alphabet or 0) < 1
    text = "".join(event.text for event in events if isinstance(event, Tokens))
    assert [text] == made(run, target, "ACGT", sampling=SEED)
    assert not any(isinstance(event, Heartbeat) for event in events)


@both_clients
def test_a_stop_sequence_ends_a_sample(run: Any, target: str) -> None:
    (text,) = made(run, target, "ACGT", sampling=SEED)
    (stopped,) = made(run, target, "ACGT", sampling=SEED, stop_sequences=[text[8:12]])

    assert stopped == text[: text.index(text[8:12]) + 4]


@both_clients
def test_a_bad_prompt_fails_alone(run: Any, target: str) -> None:
    prompts = ["ACGT", "AC\x07", "GG"]
    results = ask(run, target, lambda evo2: evo2.generate(prompts, num_samples=2, **BASES))

    assert [result.error is None for result in results] == [True, True, False, False, True, True]
    assert isinstance(results[2].error, exceptions.InvalidSequence)
    assert results[2].error.violations[0].field == "items[1].prompt"


@both_clients
def test_an_option_that_is_wrong_is_an_error_of_the_call(run: Any, target: str) -> None:
    with pytest.raises(exceptions.InvalidRequest) as raised:
        made(run, target, "ACGT", sampling=Sampling(temperature=-1))

    assert raised.value.violations[0].field == "options.sampling.temperature"


class Breaking(ScriptedEvo2):
    """Hands calls on to a server, and breaks each of them after so many messages."""

    def __init__(self, target: str, num_messages: int) -> None:
        super().__init__(lambda *_: None)
        self._stub = evo2_service_pb2_grpc.Evo2ServiceStub(grpc.insecure_channel(target))
        self._num_messages = num_messages

    def StreamGenerate(self, request: Any, context: Any) -> Iterator[Any]:
        self.requests.append(request)
        responses = self._stub.StreamGenerate(request)
        for number, response in enumerate(responses):
            if number == self._num_messages:
                responses.cancel()
                abort(context, status(grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN"), -1)
            yield response


@both_clients
@pytest.mark.parametrize("num_samples", [1, 2])
def test_a_broken_stream_gives_the_same(run: Any, target: str, num_samples: int) -> None:
    whole = made(run, target, "ACGT", sampling=SEED, num_samples=num_samples)
    # all tokens of a sample may come in one message, between its start and its end
    breaking = Breaking(target, 2 * num_samples)
    with serving(evo2=breaking) as between:
        broken = made(run, between, "ACGT", sampling=SEED, num_samples=num_samples)

    assert broken == whole
    assert len(breaking.requests) > 1


class Holding(Breaking):
    """Hands the calls of short prompts on, and answers those of long ones with nothing."""

    def StreamGenerate(self, request: Any, context: Any) -> Iterator[Any]:
        if len(request.items[0].prompt) < 10:
            yield from super().StreamGenerate(request, context)
        else:
            over = threading.Event()
            context.add_callback(over.set)
            over.wait(30)


def start(target: str, *args: object) -> "subprocess.Popen[str]":
    """The installed command: in this process the service writes its log to stdout."""
    given = ("--server", target, "--model", MODEL, "--num-tokens", 20, "--alphabet", "ACGT")
    run = [str(part) for part in (COMMAND, "generate", *args, *given, "--seed", 7)]
    return subprocess.Popen(run, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_command_gives_what_the_client_gives(target: str, tmp_path: Path) -> None:
    source = tmp_path / "in.fa"
    source.write_text("".join(f">{id_}\n{text}\n" for id_, text in PROMPTS))
    texts = made(with_client, target, PROMPTS, sampling=SEED)
    many, _ = start(target, source).communicate(timeout=60)
    one, _ = start(target, "--prompt", PROMPTS[0][1]).communicate(timeout=60)

    assert many.splitlines()[1::2] == texts
    assert one == f">prompt0 seed=7\n{texts[0]}\n"


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_ended_early_can_be_gone_on_with(
    target: str, tmp_path: Path, end: signal.Signals
) -> None:
    source, output = tmp_path / "in.fa", tmp_path / "out.fa"
    source.write_text("".join(f">r{i}\n{'ACGT' * 9 * (i > 2)}ACG\n" for i in range(6)))
    whole, _ = start(target, source).communicate(timeout=60)
    partial = tmp_path / "out.fa.partial"
    with serving(evo2=Holding(target, -1)) as holding:
        process = start(holding, source, "-o", output)
        until(lambda: partial.exists() and partial.read_bytes().count(b'"fingerprint"') == 2)
        process.send_signal(end)
        process.communicate(timeout=60)
    assert not output.exists()

    resumed = start(target, source, "-o", output, "--resume")
    assert resumed.communicate(timeout=60) == ("", "")
    assert output.read_text() == whole
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.fa", "out.fa"]


def test_closing_a_stream_gives_its_place_to_others(target: str) -> None:
    def use(client: Any) -> None:
        evo2 = client.evo2(MODEL)
        for _ in range(3):
            events = evo2.stream(["ACGT"] * 8, num_tokens=100_000, num_samples=8)
            for event in events:
                if isinstance(event, Tokens):
                    break
            events.close()
        assert len(list(evo2.generate("ACGT", **BASES))) == 1

    with_client(target, use)
