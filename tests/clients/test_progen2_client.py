"""ProGen2 through both clients against a scripted server."""

from typing import Any

import numpy as np
import pytest

import primase
from primase import Prompt, Sampling, TokenReport, exceptions, prompt_exchange
from primase.generation_options import seed_of
from primase.generation_results import Failed, Heartbeat, Started, Tokens
from primase.progen2.v1 import progen2_service_pb2 as pb
from primase.progen2_results import Likelihood, ProteinFinished
from primase.type.v1 import generation_pb2 as generation
from tests.clients.protein_answers import (
    NUM_RESIDUES,
    EveryProtein,
    drawn,
    likelihood,
    per_residue,
)
from tests.clients.scripted import BOTH_CLIENTS, serving

pytestmark = pytest.mark.parametrize("run", BOTH_CLIENTS)

SEED = Sampling(seed=7)
ALL_MESSAGES = 1 + 14 + 1  # of one sample: a start, forty residues by three, an end


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_exchange, "_FIRST_WAIT_S", 0.001)


def ask(run: Any, use: Any, service: EveryProtein | None = None) -> Any:
    with serving(progen2=service or EveryProtein()) as target:
        return run(target, lambda client: use(client.progen2("progen2-oas")))


def test_a_protein_is_put_together(run: Any) -> None:
    (result,) = ask(
        run,
        lambda progen2: progen2.generate(
            [("vh", "EVQ")], max_new_residues=10, sampling=SEED, likelihood=True
        ),
    )

    sample = result.value
    assert (result.index, result.id, result.sample_index) == (0, "vh", 0)
    assert sample.text == drawn(7, 0, 10)
    assert sample.sequence == sample.finished.sequence == "EVQ" + sample.text
    assert sample.likelihood == Likelihood.of(likelihood(sample.sequence))
    assert sample.likelihood.forward_sum_log_likelihood == -1.25 * 13
    assert len(sample.tokens.token_ids) == sample.finished.num_generated_tokens == 10
    assert (sample.started.seed, sample.started.num_prompt_tokens) == (7, 4)
    assert (sample.finished.reason, sample.finished.terminal) == ("length", None)
    assert sample.finished.terminal_token is None
    assert sample.finished.low_complexity_fraction == 0.5
    assert sample.finished.mass_outside_alphabet == 0.25


def test_the_model_ends_a_protein(run: Any) -> None:
    report = TokenReport(log_probs=True, logits=True)
    (result,) = ask(run, lambda progen2: progen2.generate("EVQ", report=report))

    finished = result.value.finished
    assert (finished.reason, finished.terminal) == ("terminal", "c")
    assert len(result.value.text) == finished.num_generated_tokens == NUM_RESIDUES
    assert finished.terminal_token.token_ids.tolist() == [4]
    assert finished.terminal_token.log_probs.tolist() == [-4]
    assert finished.terminal_token.logits.shape == (1, 512)
    assert result.value.tokens.logits.shape == (NUM_RESIDUES, 512)
    assert finished.likelihood is None


def test_options_are_sent_as_given(run: Any) -> None:
    service = EveryProtein()
    ask(
        run,
        lambda progen2: progen2.generate(
            "EVQ",
            max_new_residues=5,
            sampling=Sampling(0.5, 3, 0.75, 7, "best_effort"),
            num_samples=2,
            direction="c_to_n",
            likelihood=True,
            stop_sequences="GG",
            alphabet="ACD",
            report=TokenReport(num_alternatives=2),
        ),
        service,
    )

    assert service.requests == [
        pb.StreamGenerateRequest(
            model="progen2-oas",
            items=[pb.GenerateItem(context="EVQ")],
            options=pb.GenerateOptions(
                max_new_residues=5,
                sampling=generation.Sampling(
                    temperature=0.5,
                    top_k=3,
                    top_p=0.75,
                    seed=7,
                    determinism=generation.DETERMINISM_BEST_EFFORT,
                ),
                num_samples=2,
                direction=pb.DIRECTION_C_TO_N,
                include_likelihood=True,
                stop_sequences=["GG"],
                alphabet="ACD",
                report=generation.TokenReport(num_alternatives=2),
            ),
        )
    ]


def test_defaults_are_those_of_the_family(run: Any) -> None:
    service = EveryProtein()
    ask(run, lambda progen2: progen2.generate(""), service)

    (request,) = service.requests
    sampling = request.options.sampling
    assert (round(sampling.temperature, 6), round(sampling.top_p, 6)) == (0.8, 0.9)
    assert (sampling.top_k, sampling.HasField("seed")) == (0, False)
    assert request.options.max_new_residues == 128
    assert request.options.direction == pb.DIRECTION_N_TO_C
    assert request.items == [pb.GenerateItem()]


@pytest.mark.parametrize("name", ["direction", "determinism"])
def test_names_that_there_are_not(run: Any, name: str) -> None:
    options: dict[str, Any] = {"direction": "up"}
    if name == "determinism":
        options = {"sampling": Sampling(determinism="maybe")}  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="up|maybe".upper()):
        ask(run, lambda progen2: progen2.generate("EVQ", **options))


def test_many_contexts_come_in_order_and_a_bad_one_fails_alone(run: Any) -> None:
    contexts = ["EVQ", "E!", Prompt("QVQ", "own", 99), ("q", "")]
    results = ask(
        run,
        lambda progen2: progen2.generate(
            contexts, sampling=SEED, num_samples=2, max_new_residues=6
        ),
    )

    assert [result.index for result in results] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert [result.id for result in results][4:] == ["own", "own", "q", "q"]
    seeds = (7, None, 99, seed_of(7, 3))
    for result in results:
        seed, sample = seeds[result.index], result.sample_index
        if seed is None:
            assert isinstance(result.error, exceptions.InvalidSequence)
            assert result.error.violations[0].field == "items[1].context"
        else:
            assert result.value.text == drawn(seed, sample, 6)
    assert results[6].value.sequence == results[6].value.text


def test_from_the_c_terminus(run: Any) -> None:
    (result,) = ask(
        run,
        lambda progen2: progen2.generate(
            "TVSS", direction="c_to_n", max_new_residues=9, sampling=SEED
        ),
    )

    assert result.value.text == drawn(7, 0, 9)
    assert result.value.sequence == drawn(7, 0, 9)[::-1] + "TVSS"


def test_events(run: Any) -> None:
    contexts = [("a", "EVQ"), ("bad", "!")]
    events = ask(
        run,
        lambda progen2: progen2.stream(contexts, max_new_residues=7, sampling=SEED),
    )

    (failed,) = (event for event in events if isinstance(event, Failed))
    assert (failed.id, failed.index) == ("bad", 1)
    good = [event for event in events if event.id == "a"]
    assert [type(event) for event in good] == [Started, *[Tokens] * 3, primase.ProteinFinished]
    assert "".join(event.text for event in good if isinstance(event, Tokens)) == drawn(7, 0, 7)
    assert isinstance(good[-1], ProteinFinished)
    assert good[-1].sequence == "EVQ" + drawn(7, 0, 7)
    assert not any(isinstance(event, Heartbeat) for event in events)


@pytest.mark.parametrize("direction", ["n_to_c", "c_to_n"])
@pytest.mark.parametrize("num_messages", range(1, ALL_MESSAGES))
def test_a_stream_that_breaks_anywhere_gives_the_same(
    run: Any, num_messages: int, direction: Any
) -> None:
    how: dict[str, Any] = {"direction": direction, "likelihood": True, "sampling": SEED}
    (whole,) = ask(run, lambda progen2: progen2.generate("EVQ", **how))
    service = EveryProtein((num_messages, 2))
    (broken,) = ask(run, lambda progen2: progen2.generate("EVQ", **how), service)

    assert len(service.requests) == (2 if num_messages == ALL_MESSAGES - 1 else 3)
    assert broken.value.text == whole.value.text
    assert broken.value.sequence == whole.value.sequence
    assert broken.value.likelihood == whole.value.likelihood
    assert broken.value.finished.terminal == "c"
    assert broken.value.finished.num_generated_tokens == NUM_RESIDUES


def test_several_samples_go_on_one_by_one(run: Any) -> None:
    how: dict[str, Any] = {"num_samples": 3, "likelihood": True, "sampling": SEED}
    whole = ask(run, lambda progen2: progen2.generate("EVQ", **how))
    service = EveryProtein((21,))
    broken = ask(run, lambda progen2: progen2.generate("EVQ", **how), service)

    assert [result.value.sequence for result in broken] == [
        result.value.sequence for result in whole
    ]
    first, *others = service.requests
    assert first.options.num_samples == 3
    for number, request in enumerate(others):
        assert request.options.num_samples == 1
        assert request.options.max_new_residues == first.options.max_new_residues
        assert request.items[0].context == "EVQ" + drawn(7, number, 18)


def test_scores(run: Any) -> None:
    proteins = [("a", "MSILV"), ("bad", "M!"), ("c", "MK")]
    a, bad, c = ask(run, lambda progen2: progen2.score(proteins, per_residue=True))

    assert [a.id, bad.id, c.id] == ["a", "bad", "c"]
    assert a.value.likelihood == Likelihood(-7.5, -1.5, -6.25, -8.75, 4.5, 4.75, 5)
    np.testing.assert_array_equal(a.value.per_residue, per_residue("MSILV"))
    np.testing.assert_array_equal(c.value.per_residue, per_residue("MK"))
    assert a.value.timings.total_ms == 5
    assert isinstance(bad.error, exceptions.InvalidSequence)
    assert bad.error.violations[0].field == "items[1].sequence"


def test_scores_alone(run: Any) -> None:
    service = EveryProtein()
    (result,) = ask(run, lambda progen2: progen2.score("MSILV"), service)

    assert result.value.per_residue is None
    assert service.requests == [
        pb.StreamScoreSequencesRequest(model="progen2-oas", items=[pb.ScoreItem(sequence="MSILV")])
    ]
