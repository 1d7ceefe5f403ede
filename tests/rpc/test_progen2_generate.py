"""Generation of ProGen2: what is drawn, how it ends, and what is told of the protein."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from primase.progen2.v1 import progen2_service_pb2 as pb
from primase.tensors import to_array
from primase.type.v1 import generation_pb2
from primase_server.models.progen2.complexity import low_complexity_fraction
from primase_server.models.progen2.tokens import LETTERS, TOKENS
from tests.models.progen2.fixture_runner import runner
from tests.rpc.live import Live, limited, refusal, serving
from tests.rpc.progen2 import (
    GREEDY,
    MODEL,
    NAME,
    STANDARD,
    Followed,
    assert_all_is_freed,
    followed,
    only,
    options,
    request,
    score_request,
    seeded,
    stream_request,
)

C_TO_N = pb.DIRECTION_C_TO_N
EVQ = "EVQLVESGGGLVQPGGSLRL"
DRAWN = range(3, 30)
DEAD = [0, 1, 2, 30, 31]
LENGTH = generation_pb2.FINISH_REASON_LENGTH
TERMINAL = generation_pb2.FINISH_REASON_TERMINAL
# Everything may come, terminals too.
PLAIN = generation_pb2.Sampling(temperature=1, seed=4)


@torch.inference_mode()
def logits_after(prompt: str, token_ids: list[int]) -> NDArray[np.float32]:
    """The model's own logits that predict each of the new tokens: [tokens, 32]."""
    ids = [*map(TOKENS.index, prompt), *token_ids]
    logits = runner().model.logits(runner().model.whole([torch.tensor(ids[:-1])]))
    found: NDArray[np.float32] = logits[len(prompt) - 1 :].numpy()
    return found


def all_ids(pair: Followed) -> list[int]:
    """With the terminal, where there is one."""
    return [*pair.token_ids, *pair.end.outcome.terminal.token_ids]


def all_logits(pair: Followed) -> NDArray[np.float32]:
    """Of the tokens without the terminal: [tokens, 32]."""
    return np.concatenate([to_array(message.logits) for message in pair.tokens])


@pytest.mark.parametrize(
    ("direction", "prompt"), [(pb.DIRECTION_N_TO_C, "1" + EVQ), (C_TO_N, "2" + EVQ[::-1])]
)
def test_greedy_tokens_are_the_most_likely_of_one_whole_read(
    live: Live, direction: pb.Direction.ValueType, prompt: str
) -> None:
    report = generation_pb2.TokenReport(logits=True)
    asked = options(25, sampling=GREEDY, report=report, direction=direction)
    pair = only(live.progen2.StreamGenerate(stream_request(EVQ, options=asked)))
    expected = logits_after(prompt, all_ids(pair))
    allowed = [token if token in DRAWN else 0 for token in range(32)]
    assert all_ids(pair) == [max(filter(None, allowed), key=row.__getitem__) for row in expected]
    logits = all_logits(pair)
    np.testing.assert_allclose(logits, expected[: len(logits)], atol=1e-4)
    made = pair.text if direction != C_TO_N else pair.text[::-1]
    assert pair.end.sequence == (EVQ + made if direction != C_TO_N else made + EVQ)
    assert pair.started is not None
    assert pair.started.num_prompt_tokens == len(prompt)


def test_a_sample_ends_at_a_terminal_which_is_not_part_of_it(live: Live) -> None:
    report = generation_pb2.TokenReport(log_probs=True, elapsed_ms=True, num_alternatives=2)
    asked = options(60, sampling=PLAIN, num_samples=20, report=report)
    pairs = followed(live.progen2.StreamGenerate(stream_request(EVQ, options=asked)))
    ends = [pair.end for pair in pairs.values()]
    assert {end.terminal for end in ends} >= {pb.TERMINAL_N, pb.TERMINAL_C}
    for pair in pairs.values():
        outcome = pair.end.outcome
        assert set(pair.text) <= set(LETTERS)
        assert pair.end.sequence == EVQ + pair.text
        assert pair.end.low_complexity_fraction == low_complexity_fraction(EVQ + pair.text)
        assert not pair.end.HasField("likelihood")
        if outcome.reason == LENGTH:
            assert len(pair.text) == 60
            assert pair.end.terminal == pb.TERMINAL_UNSPECIFIED
            assert not outcome.HasField("terminal")
            continue
        assert outcome.reason == TERMINAL
        assert len(pair.text) < 60
        terminal = outcome.terminal
        assert list(terminal.token_ids) == [{pb.TERMINAL_N: 3, pb.TERMINAL_C: 4}[pair.end.terminal]]
        assert (terminal.text, terminal.resume_token) == ("", "")
        assert len(terminal.log_probs) == len(terminal.elapsed_ms) == 1
        assert terminal.log_probs[0] < 0
        assert to_array(terminal.alternative_ids).shape == (1, 2)
    samples = live.progen2.Generate(request(EVQ, options=asked)).samples
    for sample in samples:
        pair = pairs[0, sample.sample_index]
        assert sample.finished.sequence == pair.end.sequence
        assert sample.finished.outcome.terminal.token_ids == pair.end.outcome.terminal.token_ids


def test_only_letters_and_terminals_are_drawn_and_the_rest_is_told(live: Live) -> None:
    report = generation_pb2.TokenReport(logits=True)
    for alphabet, allowed in (("", LETTERS), (STANDARD, STANDARD)):
        asked = options(30, sampling=PLAIN, alphabet=alphabet, report=report)
        [sample] = live.progen2.Generate(request(EVQ, options=asked)).samples
        assert set(sample.tokens.text) <= set(allowed)
        rows = [to_array(sample.tokens.logits)]
        if sample.finished.outcome.HasField("terminal"):
            rows.append(to_array(sample.finished.outcome.terminal.logits))
        probs = torch.from_numpy(np.concatenate(rows)).double().softmax(dim=1).numpy()
        inside = [3, 4, *(TOKENS.index(letter) for letter in allowed)]
        outside = 1 - probs[:, inside].sum(axis=1)
        told = sample.finished.outcome.mass_outside_alphabet
        assert told == pytest.approx(outside.mean(), rel=1e-4)
        assert told > 0


def test_unset_options_are_the_family_defaults(live: Live) -> None:
    bare = pb.GenerateRequest(model=MODEL, items=[pb.GenerateItem(context=EVQ)])
    [sample] = live.progen2.Generate(bare).samples
    assert sample.started.model == NAME
    assert sample.started.determinism == generation_pb2.DETERMINISM_BEST_EFFORT
    sampling = generation_pb2.Sampling(seed=sample.started.seed, temperature=0.8, top_p=0.9)
    [again] = live.progen2.Generate(request(EVQ, options=options(128, sampling=sampling))).samples
    assert again.finished.sequence == sample.finished.sequence
    assert again.started.determinism == generation_pb2.DETERMINISM_BATCH_INVARIANT
    short = sample.finished.outcome.reason == TERMINAL
    assert len(sample.tokens.text) == 128 or short
    assert [field.name for field, _ in again.tokens.ListFields()] == ["text", "token_ids"]


def test_several_contexts_and_samples_each_as_if_alone(live: Live) -> None:
    texts, asked = (EVQ, "", "M" * 300), seeded(11, 15, num_samples=3)
    samples = live.progen2.Generate(request(*texts, options=asked)).samples
    places = [(item, sample) for item in range(3) for sample in range(3)]
    assert [(s.item_index, s.sample_index) for s in samples] == places
    assert [s.id for s in samples] == [f"c{item}" for item, _ in places]
    pairs = followed(live.progen2.StreamGenerate(stream_request(*texts, options=asked)))
    for sample in samples:
        pair = pairs[sample.item_index, sample.sample_index]
        assert pair.text == sample.tokens.text
        assert pair.started is not None
        assert pair.started.num_prompt_tokens == 1 + len(texts[sample.item_index])
        assert sample.finished.sequence == texts[sample.item_index] + sample.tokens.text
        assert sample.started.seed == 11
    alone = live.progen2.Generate(request(texts[0], options=seeded(11, 15))).samples[0]
    assert alone.tokens.text == samples[0].tokens.text


def test_a_seed_gives_the_same_alone_and_in_company(live: Live) -> None:
    asked = seeded(99, 40, report=generation_pb2.TokenReport(logits=True))
    alone = only(live.progen2.StreamGenerate(stream_request(EVQ, options=asked)))

    def neighbour(number: int) -> object:
        busy = seeded(number, 10 + 3 * number, include_likelihood=True)
        return list(live.progen2.StreamGenerate(stream_request("M" * number, options=busy)))

    with ThreadPoolExecutor(17) as pool:
        others = [pool.submit(neighbour, number) for number in range(16)]
        again = only(live.progen2.StreamGenerate(stream_request(EVQ, options=asked)))
        for other in others:
            other.result()
    assert again.token_ids == alone.token_ids
    np.testing.assert_array_equal(all_logits(again), all_logits(alone))
    assert_all_is_freed(live)


@pytest.mark.parametrize("direction", [pb.DIRECTION_N_TO_C, C_TO_N])
def test_the_likelihood_is_that_of_the_whole_protein(
    live: Live, direction: pb.Direction.ValueType
) -> None:
    asked = seeded(5, 30, include_likelihood=True, num_samples=4, direction=direction)
    samples = live.progen2.Generate(request(EVQ, "MKT", options=asked)).samples
    proteins = [sample.finished.sequence for sample in samples]
    scores = live.progen2.ScoreSequences(score_request(*proteins)).scores
    for sample, score in zip(samples, scores, strict=True):
        told, expected = sample.finished.likelihood, score.likelihood
        assert told.num_scored_residues == len(sample.finished.sequence)
        for field, value in expected.ListFields():
            assert getattr(told, field.name) == pytest.approx(value, rel=1e-5), field.name
        timings = sample.finished.outcome.timings
        assert timings.total_ms >= timings.queue_ms
    pairs = followed(live.progen2.StreamGenerate(stream_request(EVQ, options=asked)))
    first = samples[0].finished.likelihood.sum_log_likelihood
    assert pairs[0, 0].end.likelihood.sum_log_likelihood == pytest.approx(first, rel=1e-6)
    assert_all_is_freed(live)


def test_a_protein_without_residues_has_no_likelihood(live: Live) -> None:
    asked = options(1, sampling=PLAIN, num_samples=64, include_likelihood=True)
    samples = live.progen2.Generate(request("", options=asked)).samples
    empty = [sample for sample in samples if not sample.finished.sequence]
    assert 0 < len(empty) < 64
    for sample in samples:
        assert sample.finished.HasField("likelihood") == bool(sample.finished.sequence)
    assert {sample.finished.outcome.reason for sample in empty} == {TERMINAL}
    assert empty[0].tokens == generation_pb2.GeneratedTokens()
    assert empty[0].finished.outcome.usage.num_generated_tokens == 0
    assert_all_is_freed(live)


@pytest.mark.parametrize("direction", [pb.DIRECTION_N_TO_C, C_TO_N])
def test_a_stop_sequence_is_written_from_n_to_c_and_stays(
    live: Live, direction: pb.Direction.ValueType
) -> None:
    [whole] = live.progen2.Generate(
        request(EVQ, options=seeded(1, 60, direction=direction))
    ).samples
    drawn = whole.tokens.text
    stop = drawn[4:7] if direction != C_TO_N else drawn[4:7][::-1]
    end = drawn.index(drawn[4:7]) + 3
    asked = seeded(1, 60, direction=direction, stop_sequences=["WWWWWWWW", stop])
    [stopped] = live.progen2.Generate(request(EVQ, options=asked)).samples
    assert stopped.tokens.text == drawn[:end]
    assert stopped.finished.outcome.reason == generation_pb2.FINISH_REASON_STOP_SEQUENCE
    assert stop in stopped.finished.sequence


def test_bad_contexts_are_named_or_fail_alone(live: Live) -> None:
    texts = ("MKT", "MKJ", "mk", "M1", "", "A" * 1005)
    asked = seeded(1, 20, num_samples=2)
    found = refusal(lambda: live.progen2.Generate(request(*texts, options=asked)))
    bad = {1: "INVALID_SEQUENCE", 2: "INVALID_SEQUENCE", 3: "INVALID_SEQUENCE"}
    assert found.fields == {f"items[{index}].context": reason for index, reason in bad.items()}
    bad[5] = "SEQUENCE_TOO_LONG"
    pairs = followed(live.progen2.StreamGenerate(stream_request(*texts, options=asked)))
    for (item, _), pair in pairs.items():
        if item in bad:
            assert pair.refusal is not None
            assert pair.refusal.fields == {f"items[{item}].context": bad[item]}
        else:
            assert pair.end.sequence == texts[item] + pair.text


@pytest.mark.parametrize(("likelihood", "most"), [(False, 1023), (True, 1022)])
def test_the_model_takes_so_many_residues(live: Live, likelihood: bool, most: int) -> None:
    asked = seeded(1, 20, include_likelihood=likelihood, alphabet="A")
    found = refusal(lambda: live.progen2.Generate(request("A" * (most - 19), options=asked)))
    assert found.fields == {"items[0].context": "SEQUENCE_TOO_LONG"}
    assert f"at most {most} together" in found.message
    [sample] = live.progen2.Generate(request("A" * (most - 20), options=asked)).samples
    assert len(sample.finished.sequence) == most or sample.finished.outcome.reason == TERMINAL


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"stop_sequences": ["AC", "AB"], "alphabet": STANDARD}, "options.stop_sequences[1]"),
        ({"stop_sequences": ["A", "1"]}, "options.stop_sequences[1]"),
        ({"alphabet": "ACJ"}, "options.alphabet"),
        ({"direction": 7}, "options.direction"),
        ({"num_samples": 65}, "options.num_samples"),
        ({"max_new_residues": 0}, "options.max_new_residues"),
        ({"sampling": {"top_p": 0}}, "options.sampling.top_p"),
        ({"report": {"num_alternatives": 33}}, "options.report.num_alternatives"),
    ],
)
def test_bad_options_are_named(live: Live, wanted: dict[str, Any], field: str) -> None:
    asked = pb.GenerateOptions(**wanted)
    for call in (
        lambda: live.progen2.Generate(request("MKT", options=asked)),
        lambda: live.progen2.StreamGenerate(stream_request("MKT", options=asked)),
    ):
        assert list(refusal(call).fields) == [field]


def test_an_answer_that_one_message_cannot_hold_is_refused_before_any_work(live: Live) -> None:
    report = generation_pb2.TokenReport(logits=True, num_alternatives=32)
    asked = options(1000, num_samples=12, report=report)
    found = refusal(lambda: live.progen2.Generate(request("MKT", options=asked)))
    assert found.reason == "RESPONSE_TOO_LARGE"
    assert "StreamGenerate" in found.message
    assert_all_is_freed(live)


def test_likelihoods_are_charged_with_the_generation() -> None:
    # both directions of two proteins of 22 residues at most
    with serving(limited(max_queued_tokens=2 * 2 * 23)) as live:
        asked = seeded(1, 20, include_likelihood=True)
        samples = live.progen2.Generate(request("MK", "MT", options=asked)).samples
        assert all(sample.finished.HasField("likelihood") for sample in samples)
        over = refusal(lambda: live.progen2.Generate(request("MK", "MKT", options=asked)))
        assert over.reason == "REQUEST_TOO_LARGE"
        assert_all_is_freed(live)


def test_who_leaves_frees_all(live: Live) -> None:
    asked = options(900, sampling=PLAIN, num_samples=20, include_likelihood=True)
    call = live.progen2.StreamGenerate(stream_request(EVQ, "MKT", options=asked))
    for message in call:
        if message.HasField("tokens"):
            break
    call.cancel()
    # a call that is answered after it
    for _ in range(200):
        live.progen2.Generate(request("MKT", options=options(1)))
        state = live.app.host.engine.queue_state(NAME)
        if state.queued_tokens == 0:
            break
    assert_all_is_freed(live)
