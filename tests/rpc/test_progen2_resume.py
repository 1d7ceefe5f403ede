"""A broken stream of residues goes on with its last token, from either end of the protein."""

from typing import TypeAlias

import pytest

from primase.progen2.v1 import progen2_service_pb2 as pb
from tests.rpc.live import Live, refusal
from tests.rpc.progen2 import Followed, assert_all_is_freed, followed, only, seeded, stream_request

CONTEXTS = ("EVQLVESGGG", "MKT" * 100)
NUM_RESIDUES = 40
C_TO_N = pb.DIRECTION_C_TO_N
DIRECTIONS = [pb.DIRECTION_N_TO_C, C_TO_N]
Direction: TypeAlias = pb.Direction.ValueType


def whole(live: Live, asked: pb.GenerateOptions) -> dict[tuple[int, int], Followed]:
    return followed(live.progen2.StreamGenerate(stream_request(*CONTEXTS, options=asked)))


def broken_after(pair: Followed, num_messages: int) -> tuple[str, str]:
    """What had come, and the token of its last message."""
    messages = pair.tokens[:num_messages]
    return "".join(message.text for message in messages), messages[-1].resume_token


def so_far(context: str, text: str, direction: Direction) -> str:
    return text[::-1] + context if direction == C_TO_N else context + text


def options(direction: Direction, **wanted: object) -> pb.GenerateOptions:
    return seeded(18, NUM_RESIDUES, direction=direction, **wanted)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_every_sample_goes_on(live: Live, direction: Direction) -> None:
    pairs = whole(live, options(direction, num_samples=2, include_likelihood=True))
    for (item, _), pair in pairs.items():
        text, token = broken_after(pair, 1)
        context = so_far(CONTEXTS[item], text, direction)
        asked = options(direction, include_likelihood=True)
        found = only(
            live.progen2.StreamGenerate(stream_request(context, options=asked, resume_token=token))
        )
        assert text + found.text == pair.text
        assert found.end.sequence == pair.end.sequence
        assert found.end.terminal == pair.end.terminal
        expected = pair.end.likelihood.sum_log_likelihood
        assert found.end.likelihood.sum_log_likelihood == pytest.approx(expected, rel=1e-5)
        assert found.started is not None
        assert found.started.seed == 18
        assert found.started.num_prompt_tokens == 1 + len(CONTEXTS[item])
        assert found.end.outcome.usage.num_generated_tokens == len(pair.text) - len(text)
    assert_all_is_freed(live)


def test_what_does_not_belong_to_the_token_is_refused(live: Live) -> None:
    pair = whole(live, options(pb.DIRECTION_N_TO_C))[0, 0]
    text, token = broken_after(pair, 1)
    context = CONTEXTS[0] + text
    for changed, asked, field in (
        (context[:-1], options(pb.DIRECTION_N_TO_C), "resume_token"),
        (context[::-1], options(C_TO_N), "resume_token"),
        (context, options(pb.DIRECTION_N_TO_C, num_samples=2), "options.num_samples"),
        (context, seeded(19, NUM_RESIDUES), "options.sampling.seed"),
        (context, seeded(18, 1014), "items[0].context"),
        (context, seeded(18, 1013, include_likelihood=True), "items[0].context"),
        (context + "J", options(pb.DIRECTION_N_TO_C), "items[0].context"),
    ):
        request = stream_request(changed, options=asked, resume_token=token)
        if field == "items[0].context" and changed != context:
            found = only(live.progen2.StreamGenerate(request)).refusal
            assert found is not None
        else:
            found = refusal(lambda request=request: live.progen2.StreamGenerate(request))  # type: ignore[misc]
        assert list(found.fields) == [field]


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_an_end_that_did_not_come_is_told_alone(live: Live, direction: Direction) -> None:
    asked = options(direction, include_likelihood=True)
    pair = only(live.progen2.StreamGenerate(stream_request(CONTEXTS[0], options=asked)))
    text, token = broken_after(pair, len(pair.tokens))
    context = so_far(CONTEXTS[0], text, direction)
    request = stream_request(context, options=asked, resume_token=token)
    found = only(live.progen2.StreamGenerate(request))
    assert not found.tokens
    assert found.end.sequence == pair.end.sequence == context
    assert found.end.outcome.reason == pair.end.outcome.reason
    expected = pair.end.likelihood.sum_log_likelihood
    assert found.end.likelihood.sum_log_likelihood == pytest.approx(expected, rel=1e-5)
