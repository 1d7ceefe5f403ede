"""ProGen2 through clients and command against the service itself, with the fixture."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from primase import Sampling, TokenReport, exceptions, prompt_exchange
from primase.generation_results import Tokens
from primase.progen2.v1 import progen2_service_pb2_grpc
from primase.progen2_results import ProteinFinished
from primase_server.settings import ModelSettings
from tests.clients.real_server import real_server
from tests.clients.scripted import (
    BOTH_CLIENTS,
    ScriptedProGen2,
    abort,
    serving,
    status,
    with_client,
)
from tests.e2e.server import COMMAND

MODEL = "progen2-fixture"
CONTEXTS = [("vh", "EVQLVESGGGLVQPGGSLRLSCAAS"), ("m", "M"), ("nothing", "")]
STANDARD = "ACDEFGHIKLMNPQRSTVWY"
SEED = Sampling(0.8, top_p=0.9, seed=7)
SHORT = {"max_new_residues": 20, "sampling": SEED}

both_clients = pytest.mark.parametrize("run", BOTH_CLIENTS)


@pytest.fixture(scope="module")
def target() -> Iterator[str]:
    with real_server(ModelSettings(MODEL, "fixture")) as address:
        yield address


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_exchange, "_FIRST_WAIT_S", 0.001)


def ask(run: Any, target: str, use: Any) -> Any:
    return run(target, lambda client: use(client.progen2(MODEL)))


def made(run: Any, target: str, *args: Any, **options: Any) -> list[Any]:
    results = ask(run, target, lambda progen2: progen2.generate(*args, **{**SHORT, **options}))
    return [result.value for result in results]


@pytest.mark.parametrize(
    ("run", "direction"), list(zip(BOTH_CLIENTS, ("n_to_c", "c_to_n"), strict=True))
)
def test_proteins_and_their_scores(run: Any, target: str, direction: str) -> None:
    how = {"num_samples": 2, "likelihood": True, "direction": direction}
    samples = made(run, target, CONTEXTS, **how)
    scores = ask(run, target, lambda progen2: progen2.score([s.sequence for s in samples]))

    assert len({sample.sequence for sample in samples}) == 6
    for number, (sample, score) in enumerate(zip(samples, scores, strict=True)):
        context = CONTEXTS[number // 2][1]
        new = sample.text if direction == "n_to_c" else sample.text[::-1]
        whole = context + new if direction == "n_to_c" else new + context
        assert sample.sequence == whole
        assert sample.likelihood.num_scored_residues == len(whole)
        total = sample.likelihood.sum_log_likelihood
        assert total == pytest.approx(score.value.likelihood.sum_log_likelihood, rel=1e-5)
        assert sample.likelihood.mean_log_likelihood == pytest.approx(total / len(whole))
    again = made(run, target, CONTEXTS[0][1], **how)
    assert [s.sequence for s in again] == [s.sequence for s in samples[:2]]


@both_clients
def test_values_per_residue_add_up(run: Any, target: str) -> None:
    proteins = [("a", "MSILVTRPSPAGEELVSRLRTLGQ"), ("bad", "MJ"), ("c", "W")]
    a, bad, c = ask(run, target, lambda progen2: progen2.score(proteins, per_residue=True))

    for score in (a.value, c.value):
        assert score.per_residue.shape == (2, score.likelihood.num_scored_residues)
        forward, reverse = score.per_residue.sum(axis=1, dtype=np.float64)
        assert score.likelihood.forward_sum_log_likelihood == pytest.approx(forward, rel=1e-5)
        assert score.likelihood.reverse_sum_log_likelihood == pytest.approx(reverse, rel=1e-5)
    assert isinstance(bad.error, exceptions.InvalidSequence)
    assert bad.error.violations[0].field == "items[1].sequence"


def test_the_model_ends_proteins(target: str) -> None:
    report = TokenReport(log_probs=True)
    samples = made(
        with_client,
        target,
        "EVQ",
        num_samples=24,
        sampling=Sampling(seed=4),
        report=report,
        max_new_residues=60,
    )

    ended = [sample for sample in samples if sample.finished.reason == "terminal"]
    assert {sample.finished.terminal for sample in ended} <= {"n", "c"}
    assert 0 < len(ended) < 24
    for sample in ended:
        (log_prob,) = sample.finished.terminal_token.log_probs
        assert log_prob < 0
        assert sample.finished.terminal_token.text == ""
        assert len(sample.tokens.log_probs) == len(sample.text) < 60


@both_clients
def test_what_may_be_drawn_and_where_it_stops(run: Any, target: str) -> None:
    (whole,) = made(run, target, "EVQ", alphabet=STANDARD)
    assert set(whole.text) <= set(STANDARD)
    assert 0 < whole.finished.mass_outside_alphabet < 1

    for direction in ("n_to_c", "c_to_n"):
        (whole,) = made(run, target, "EVQ", direction=direction)
        written = whole.text[8:11] if direction == "n_to_c" else whole.text[8:11][::-1]
        (stopped,) = made(run, target, "EVQ", direction=direction, stop_sequences=[written])
        assert stopped.text == whole.text[: whole.text.index(whole.text[8:11]) + 3]
        assert stopped.finished.reason == "stop_sequence"


@both_clients
def test_a_bad_context_fails_alone(run: Any, target: str) -> None:
    results = ask(run, target, lambda progen2: progen2.generate(["EVQ", "evq", "M"], **SHORT))

    assert [result.error is None for result in results] == [True, False, True]
    assert isinstance(results[1].error, exceptions.InvalidSequence)
    assert results[1].error.violations[0].field == "items[1].context"


@both_clients
def test_events_of_a_stream(run: Any, target: str) -> None:
    events = ask(run, target, lambda progen2: progen2.stream("EVQ", likelihood=True, **SHORT))

    *_, finished = events
    assert isinstance(finished, ProteinFinished)
    text = "".join(event.text for event in events if isinstance(event, Tokens))
    assert finished.sequence == "EVQ" + text
    assert finished.likelihood is not None


class Breaking(ScriptedProGen2):
    """Hands calls on to a server, and breaks the first ones before a message of that kind."""

    def __init__(self, target: str, kinds: list[str]) -> None:
        super().__init__(lambda *_: None)
        self._stub = progen2_service_pb2_grpc.ProGen2ServiceStub(grpc.insecure_channel(target))
        self._kinds = kinds

    def StreamGenerate(self, request: Any, context: Any) -> Iterator[Any]:
        self.requests.append(request)
        kind = self._kinds.pop(0) if self._kinds else None
        responses = self._stub.StreamGenerate(request)
        has_begun = False
        for response in responses:
            if has_begun and response.WhichOneof("event") == kind:
                responses.cancel()
                abort(context, status(grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN"), -1)
            has_begun = has_begun or response.HasField("tokens")
            yield response


@both_clients
@pytest.mark.parametrize(
    ("direction", "kinds"),
    [
        ("n_to_c", ["tokens"]),
        ("n_to_c", ["finished"]),
        ("c_to_n", ["tokens", "finished", "finished"]),
    ],
)
def test_a_broken_stream_gives_the_same(
    run: Any, target: str, direction: str, kinds: list[str]
) -> None:
    how = {"likelihood": True, "direction": direction}
    (whole,) = made(run, target, "EVQ", **how)
    breaking = Breaking(target, list(kinds))
    with serving(progen2=breaking) as between:
        (broken,) = made(run, between, "EVQ", **how)

    assert broken.text == whole.text
    assert broken.sequence == whole.sequence
    assert broken.finished.reason == whole.finished.reason == "length"
    assert broken.finished.low_complexity_fraction == whole.finished.low_complexity_fraction
    for name, number in vars(whole.likelihood).items():
        assert getattr(broken.likelihood, name) == pytest.approx(number, rel=1e-5)
    assert len(breaking.requests) > 1


@both_clients
def test_a_stream_that_broke_behind_a_stop_sequence(run: Any, target: str) -> None:
    (whole,) = made(run, target, "EVQ")
    how = {"likelihood": True, "stop_sequences": [whole.text[5:8]]}
    (stopped,) = made(run, target, "EVQ", **how)
    with serving(progen2=Breaking(target, ["finished"])) as between:
        (broken,) = made(run, between, "EVQ", **how)

    assert broken.sequence == stopped.sequence
    assert broken.finished.reason == "stop_sequence"


def primase(target: str, *args: object) -> str:
    """The installed command: in this process the service writes its log to stdout."""
    given = (*args, "--server", target, "--model", MODEL)
    run = subprocess.run(
        [str(part) for part in (COMMAND, *given)],
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
        check=True,
    )
    return run.stdout


def test_the_command_gives_what_the_client_gives(target: str, tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    rows = "".join(f"{id_},{text}\n" for id_, text in CONTEXTS)
    source.write_text(f"id,sequence\n{rows}")
    samples = made(with_client, target, CONTEXTS, likelihood=True)
    how = ("--max-new-residues", 20, "--seed", 7, "--likelihood")
    many = primase(target, "generate", source, *how).splitlines()

    assert many[1::2] == [sample.sequence for sample in samples]
    for (id_, _), header, sample in zip(CONTEXTS, many[::2], samples, strict=True):
        name, seed, total, mean = header.split()
        assert (name, seed) == (f">{id_}", f"seed={sample.started.seed}")
        number = float(total.removeprefix("sum_log_likelihood="))
        assert number == pytest.approx(sample.likelihood.sum_log_likelihood, rel=1e-5)
        assert mean.startswith("mean_log_likelihood=-")

    out = tmp_path / "out.fa"
    primase(target, "generate", source, *how, "-o", out)
    table = primase(target, "score", out).splitlines()
    scored = dict(line.split("\t")[0:3:2] for line in table[1:])
    for (id_, _), sample in zip(CONTEXTS, samples, strict=True):
        total = sample.likelihood.sum_log_likelihood
        assert float(scored[id_]) == pytest.approx(total, rel=1e-5)
