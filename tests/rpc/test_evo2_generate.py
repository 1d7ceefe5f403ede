"""Generate and StreamGenerate continue prompts as the model alone would."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch

from primase.evo2.v1 import evo2_service_pb2 as pb
from primase.tensors import to_array
from primase.type.v1 import generation_pb2
from tests.models.evo2.items import dna, runner
from tests.models.evo2.running import full
from tests.rpc.evo2 import NAME
from tests.rpc.evo2_generation import (
    GREEDY,
    arrays,
    assert_all_is_freed,
    followed,
    only,
    options,
    request,
    seeded,
    stream_request,
)
from tests.rpc.live import Live, Refusal, limited, refusal, serving

PROMPT = dna(40)
REPORT = generation_pb2.TokenReport(
    log_probs=True, sampled_probs=True, logits=True, elapsed_ms=True, num_alternatives=3
)


def logits_after(prompt: str, token_ids: list[int]) -> np.ndarray[Any, Any]:
    """The model's own logits that predict each of the new tokens: [tokens, 512]."""
    ids = [*prompt.encode(), *token_ids]
    rows = full(runner().model, torch.tensor([ids]))[0]
    found: np.ndarray[Any, Any] = rows[len(prompt) - 1 : -1].numpy()
    return found


def test_greedy_tokens_are_the_most_likely_of_one_whole_read(live: Live) -> None:
    asked = options(25, sampling=GREEDY, report=REPORT)
    pair = only(live.evo2.StreamGenerate(stream_request(PROMPT, options=asked)))
    expected = logits_after(PROMPT, pair.token_ids)
    assert pair.token_ids == expected.argmax(axis=1).tolist()
    logits = arrays(pair.tokens, "logits")
    assert logits.shape == (25, 512)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, expected, atol=1e-4)


def test_what_is_reported_of_each_token(live: Live) -> None:
    asked = seeded(3, 30, report=REPORT)
    [sample] = live.evo2.Generate(request(PROMPT, options=asked)).samples
    told = sample.tokens
    logits = torch.from_numpy(to_array(told.logits))
    probs = logits.double().softmax(dim=1).numpy()
    rows = np.arange(30)
    bases = list(b"ACGT")
    np.testing.assert_allclose(told.sampled_probs, probs[rows, told.token_ids], rtol=1e-5)
    drawn_from = probs[:, bases] / probs[:, bases].sum(axis=1, keepdims=True)
    places = [bases.index(token) for token in told.token_ids]
    np.testing.assert_allclose(told.log_probs, np.log(drawn_from[rows, places]), rtol=1e-4)
    best = np.argsort(-probs, axis=1)[:, :3]
    np.testing.assert_array_equal(to_array(told.alternative_ids), best)
    log_probs = np.log(np.take_along_axis(probs, best, axis=1))
    np.testing.assert_allclose(to_array(told.alternative_log_probs), log_probs, rtol=1e-5)
    outside = 1 - probs[:, bases].sum(axis=1)
    assert sample.finished.mass_outside_alphabet == pytest.approx(outside.mean(), rel=1e-5)
    assert len(told.elapsed_ms) == 30
    assert sum(told.elapsed_ms) == pytest.approx(sample.finished.timings.total_ms, rel=1e-3)


def test_nothing_is_reported_that_was_not_asked_for(live: Live) -> None:
    [sample] = live.evo2.Generate(request(PROMPT, options=options(5))).samples
    assert [field.name for field, _ in sample.tokens.ListFields()] == ["text", "token_ids"]
    assert sample.finished.mass_outside_alphabet == 0


def test_unset_options_are_the_family_defaults(live: Live) -> None:
    [sample] = live.evo2.Generate(request(PROMPT, options=pb.GenerateOptions())).samples
    assert len(sample.tokens.text) == len(sample.tokens.token_ids) == 100
    assert sample.finished.reason == generation_pb2.FINISH_REASON_LENGTH
    assert sample.finished.usage.num_prompt_tokens == len(PROMPT)
    assert sample.finished.usage.num_generated_tokens == 100
    assert sample.finished.timings.total_ms > 0
    assert sample.started.model == NAME
    assert sample.started.determinism == generation_pb2.DETERMINISM_BEST_EFFORT
    # top_k is 4: with the seed that was told, and 4, the same again
    sampling = generation_pb2.Sampling(seed=sample.started.seed, top_k=4)
    again = live.evo2.Generate(request(PROMPT, options=options(100, sampling=sampling)))
    assert again.samples[0].tokens.text == sample.tokens.text
    assert again.samples[0].started.determinism == generation_pb2.DETERMINISM_BATCH_INVARIANT


def test_several_prompts_and_samples_each_as_if_alone(live: Live) -> None:
    texts, asked = (PROMPT, "ACG", dna(1500)), seeded(11, 15, num_samples=3)
    samples = live.evo2.Generate(request(*texts, options=asked)).samples
    places = [(item, sample) for item in range(3) for sample in range(3)]
    assert [(s.item_index, s.sample_index) for s in samples] == places
    assert [s.id for s in samples] == [f"p{item}" for item, _ in places]
    assert len({s.tokens.text for s in samples}) == len(places)
    pairs = followed(live.evo2.StreamGenerate(stream_request(*texts, options=asked)))
    assert {place: pair.text for place, pair in pairs.items()} == {
        (s.item_index, s.sample_index): s.tokens.text for s in samples
    }
    for (item, _), pair in pairs.items():
        assert pair.started is not None
        assert pair.started.seed == 11
        assert pair.started.num_prompt_tokens == len(texts[item])
        assert len(pair.tokens[0].token_ids) == 1  # the first token leaves at once
    alone = live.evo2.Generate(request(texts[0], options=seeded(11, 15))).samples[0]
    assert alone.tokens.text == samples[0].tokens.text


def test_a_stop_sequence_ends_its_sample_and_stays(live: Live) -> None:
    [whole] = live.evo2.Generate(request(PROMPT, options=seeded(5, 60))).samples
    stop = whole.tokens.text[20:24]
    end = whole.tokens.text.index(stop) + len(stop)
    asked = seeded(5, 60, stop_sequences=["ACGT" * 8, stop])
    [stopped] = live.evo2.Generate(request(PROMPT, options=asked)).samples
    assert stopped.tokens.text == whole.tokens.text[:end]
    assert stopped.finished.reason == generation_pb2.FINISH_REASON_STOP_SEQUENCE


def test_a_seed_gives_the_same_alone_and_in_company(live: Live) -> None:
    asked = seeded(99, 40, report=generation_pb2.TokenReport(logits=True))
    alone = only(live.evo2.StreamGenerate(stream_request(PROMPT, options=asked)))

    def neighbour(number: int) -> object:
        busy = seeded(number, 10 + 3 * number)
        return list(live.evo2.StreamGenerate(stream_request(dna(10 + number), options=busy)))

    with ThreadPoolExecutor(17) as pool:
        others = [pool.submit(neighbour, number) for number in range(16)]
        again = only(live.evo2.StreamGenerate(stream_request(PROMPT, options=asked)))
        for other in others:
            other.result()
    assert again.token_ids == alone.token_ids
    logits, expected = arrays(again.tokens, "logits"), arrays(alone.tokens, "logits")
    np.testing.assert_array_equal(logits, expected)
    assert_all_is_freed(live)


def test_a_unary_call_names_every_bad_prompt(live: Live) -> None:
    refused = refusal(
        lambda: live.evo2.Generate(request("ACGT", "AC\x01", "ACG", "é", options=options()))
    )
    assert refused.fields == {
        "items[1].prompt": "INVALID_SEQUENCE",
        "items[3].prompt": "INVALID_SEQUENCE",
    }


def test_a_bad_prompt_of_a_stream_fails_alone() -> None:
    with serving(limited(max_bases=50)) as live:
        texts = ("ACGT", "AC\x01", "A" * 31, "ACG")
        asked = seeded(1, 20, num_samples=2)
        pairs = followed(live.evo2.StreamGenerate(stream_request(*texts, options=asked)))
        too_long = refusal(lambda: live.evo2.Generate(request(*texts[2:], options=asked)))
        without = live.evo2.Generate(request(texts[0], options=asked)).samples
        assert_all_is_freed(live)
    assert sorted(pairs) == [(item, sample) for item in range(4) for sample in range(2)]
    for sample in range(2):
        assert refused(pairs[1, sample].refusal) == {"items[1].prompt": "INVALID_SEQUENCE"}
        assert refused(pairs[2, sample].refusal) == {"items[2].prompt": "SEQUENCE_TOO_LONG"}
        assert pairs[0, sample].text == without[sample].tokens.text
        assert len(pairs[3, sample].text) == 20
    assert too_long.fields == {"items[0].prompt": "SEQUENCE_TOO_LONG"}


def refused(found: Refusal | None) -> dict[str, str]:
    assert found is not None
    return found.fields


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"stop_sequences": ["AC", "AN"], "alphabet": "ACGT"}, "options.stop_sequences[1]"),
        ({"stop_sequences": ["A\x02"]}, "options.stop_sequences[0]"),
        ({"alphabet": "AC\x01"}, "options.alphabet"),
        ({"num_samples": 65}, "options.num_samples"),
        ({"sampling": {"temperature": -1}}, "options.sampling.temperature"),
        ({"sampling": {"determinism": 9}}, "options.sampling.determinism"),
        ({"report": {"num_alternatives": 33}}, "options.report.num_alternatives"),
    ],
)
def test_bad_options_are_named(live: Live, wanted: dict[str, Any], field: str) -> None:
    asked = options(5, **wanted)
    for call in (
        lambda: live.evo2.Generate(request("ACGT", options=asked)),
        lambda: live.evo2.StreamGenerate(stream_request("ACGT", options=asked)),
    ):
        assert list(refusal(call).fields) == [field]


def test_an_answer_that_one_message_cannot_hold_is_refused_before_any_work(live: Live) -> None:
    asked = options(2100, report=generation_pb2.TokenReport(logits=True))
    found = refusal(lambda: live.evo2.Generate(request("ACGT", options=asked)))
    assert found.reason == "RESPONSE_TOO_LARGE"
    assert "StreamGenerate" in found.message
    assert_all_is_freed(live)


def test_more_than_the_room_for_states_is_refused() -> None:
    with serving(limited(max_state_bytes=2 << 20)) as live:
        asked = seeded(1, 100_000)
        pair = only(live.evo2.StreamGenerate(stream_request("ACGT", options=asked)))
        assert refused(pair.refusal) == {"items[0].prompt": "SEQUENCE_TOO_LONG"}
        found = refusal(lambda: live.evo2.Generate(request("ACGT", options=asked)))
        assert found.fields == {"items[0].prompt": "SEQUENCE_TOO_LONG"}
        assert_all_is_freed(live)
