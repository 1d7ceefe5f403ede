"""A broken stream goes on with the token of the last message that came, as if it had not broken."""

import base64

import pytest

from primase.evo2.v1 import evo2_service_pb2 as pb
from primase.type.v1 import generation_pb2
from primase_server.errors import InvalidRequest
from primase_server.rpc import generating
from primase_server.rpc.resume_token import Position, ReadText, position_of
from tests.models.evo2.items import dna
from tests.rpc.evo2_generation import (
    Followed,
    assert_all_is_freed,
    followed,
    only,
    options,
    seeded,
    stream_request,
)
from tests.rpc.live import Live, refusal

PROMPTS = (dna(40), dna(1100, seed=1))
NUM_TOKENS = 50
POSITION = Position(seed=2**64 - 1, item_index=255, sample_index=63, num_drawn=1 << 23)


@pytest.fixture(autouse=True)
def tokens_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a stream has many places to break at."""
    monkeypatch.setattr(generating, "gather_s", lambda *_: 0.0)


def whole(live: Live, asked: pb.GenerateOptions) -> dict[tuple[int, int], Followed]:
    return followed(live.evo2.StreamGenerate(stream_request(*PROMPTS, options=asked)))


def broken_after(pair: Followed, num_messages: int) -> tuple[str, str]:
    """The text that had come, and the token of its last message."""
    messages = pair.tokens[:num_messages]
    return "".join(message.text for message in messages), messages[-1].resume_token


def rest(live: Live, text: str, token: str, asked: pb.GenerateOptions) -> Followed:
    request = stream_request(text, options=asked, resume_token=token)
    return only(live.evo2.StreamGenerate(request))


@pytest.mark.parametrize("num_messages", [1, 7])
def test_every_sample_of_every_prompt_goes_on(live: Live, num_messages: int) -> None:
    pairs = whole(live, seeded(17, NUM_TOKENS, num_samples=2))
    for (item, _), pair in pairs.items():
        text, token = broken_after(pair, num_messages)
        found = rest(live, PROMPTS[item] + text, token, seeded(17, NUM_TOKENS))
        assert text + found.text == pair.text
        assert found.started is not None
        assert found.started.seed == 17
        assert found.started.num_prompt_tokens == len(PROMPTS[item])
        assert found.finished is not None
        assert found.finished.usage.num_generated_tokens == NUM_TOKENS - len(text)
    assert_all_is_freed(live)


def test_it_may_break_again(live: Live) -> None:
    pair = whole(live, seeded(3, NUM_TOKENS, num_samples=2))[1, 1]
    text, token = broken_after(pair, 3)
    second = rest(live, PROMPTS[1] + text, token, seeded(3, NUM_TOKENS))
    more, token = broken_after(second, 2)
    third = rest(live, PROMPTS[1] + text + more, token, seeded(3, NUM_TOKENS))
    assert text + more + third.text == pair.text


def test_the_seed_that_the_server_picked_is_in_the_token(live: Live) -> None:
    asked = options(NUM_TOKENS, alphabet="ACGT")
    pair = only(live.evo2.StreamGenerate(stream_request(PROMPTS[0], options=asked)))
    text, token = broken_after(pair, 4)
    found = rest(live, PROMPTS[0] + text, token, asked)
    assert text + found.text == pair.text


def test_a_stop_sequence_is_found_across_the_break(live: Live) -> None:
    pair = whole(live, seeded(8, NUM_TOKENS))[0, 0]
    text, token = broken_after(pair, 12)
    end = len(text) + 2
    stop = pair.text[end - 8 : end]
    assert pair.text.index(stop) + len(stop) == end
    found = rest(live, PROMPTS[0] + text, token, seeded(8, NUM_TOKENS, stop_sequences=[stop]))
    assert text + found.text == pair.text[:end]
    assert found.finished is not None
    assert found.finished.reason == generation_pb2.FINISH_REASON_STOP_SEQUENCE


def test_what_is_over_has_nothing_but_an_end(live: Live) -> None:
    pair = whole(live, seeded(8, NUM_TOKENS))[0, 0]
    text, token = broken_after(pair, len(pair.tokens))
    stopped = seeded(8, NUM_TOKENS + 1, stop_sequences=[pair.text[-3:]])
    length, stop = (
        generation_pb2.FINISH_REASON_LENGTH,
        generation_pb2.FINISH_REASON_STOP_SEQUENCE,
    )
    for asked, reason in ((seeded(8, NUM_TOKENS), length), (stopped, stop)):
        found = rest(live, PROMPTS[0] + text, token, asked)
        assert found.tokens == []
        assert found.started is not None
        assert (found.started.seed, found.started.num_prompt_tokens) == (8, len(PROMPTS[0]))
        assert found.finished is not None
        assert found.finished.reason == reason
        assert found.finished.usage.num_generated_tokens == 0
        assert found.finished.mass_outside_alphabet == 0
    assert_all_is_freed(live)


def test_what_does_not_belong_to_the_token_is_refused(live: Live) -> None:
    asked = seeded(8, NUM_TOKENS)
    pair = whole(live, asked)[0, 0]
    text, token = broken_after(pair, 12)
    prompt = PROMPTS[0] + text
    for request, field in (
        (stream_request(prompt[:-1], options=asked, resume_token=token), "resume_token"),
        (stream_request(prompt + "A", options=asked, resume_token=token), "resume_token"),
        (stream_request(prompt, options=asked, resume_token=token[:-4]), "resume_token"),
        (stream_request(prompt, options=asked, resume_token="ACGT"), "resume_token"),
        (stream_request(prompt, options=asked, resume_token="é"), "resume_token"),
        (stream_request(prompt, "A", options=asked, resume_token=token), "items"),
        (
            stream_request(prompt, options=seeded(9, NUM_TOKENS), resume_token=token),
            "options.sampling.seed",
        ),
        (
            stream_request(
                prompt, options=seeded(8, NUM_TOKENS, num_samples=2), resume_token=token
            ),
            "options.num_samples",
        ),
    ):
        found = refusal(lambda request=request: live.evo2.StreamGenerate(request))  # type: ignore[misc]
        assert list(found.fields) == [field]


def test_there_is_no_token_once_the_text_does_not_tell_what_was_drawn(live: Live) -> None:
    asked = options(NUM_TOKENS, sampling=generation_pb2.Sampling(seed=1))
    pair = only(live.evo2.StreamGenerate(stream_request(PROMPTS[0], options=asked)))
    prints = [32 <= token < 127 for token in pair.token_ids]
    num_exact = prints.index(False)
    num_drawn = 0
    for message in pair.tokens:
        num_drawn += len(message.token_ids)
        assert bool(message.resume_token) == (num_drawn <= num_exact)
    expected = [chr(token) if 32 <= token < 127 else " " for token in pair.token_ids]
    assert list(pair.text) == expected


def test_a_token_tells_its_position_for_its_text_only() -> None:
    text = ReadText("ACG")
    other = text.fork()
    text.add("T")
    token = POSITION.token(text)
    assert position_of(token, "ACGT") == POSITION
    assert position_of(POSITION.token(other), "ACG") == POSITION
    with pytest.raises(InvalidRequest):
        position_of(token, "ACG")


def test_no_byte_of_a_token_can_be_changed() -> None:
    token = base64.urlsafe_b64decode(POSITION.token(ReadText("ACG")))
    for place in range(len(token)):
        changed = bytearray(token)
        changed[place] ^= 1
        with pytest.raises(InvalidRequest):
            position_of(base64.urlsafe_b64encode(changed).decode(), "ACG")
