"""Generation with a screener: nothing of a sample is told before its verdict."""

import asyncio
import queue
import threading
from collections.abc import Iterator
from dataclasses import replace

import grpc
import pytest
from google.rpc import error_details_pb2

from primase.evo2.v1 import evo2_service_pb2 as evo2_pb
from primase.progen2.v1 import progen2_service_pb2 as progen2_pb
from primase.screening.v1 import screening_service_pb2 as pb
from primase.type.v1 import generation_pb2
from primase_server.hosting import LocalHost
from primase_server.settings import Limits, Listen, Screening, Telemetry
from tests.conditions import until
from tests.metrics.scraped import Scraped
from tests.rpc import evo2_generation as evo2
from tests.rpc import progen2
from tests.rpc.evo2 import NAME
from tests.rpc.live import SETTINGS, Live, detail, refusal, serving
from tests.screening.scripted import ALLOWED, REFUSED, ScriptedScreener, fail, screener

HEARTBEAT_S = 0.2
TIMEOUT_S = 20.0
MAX_HELD_BYTES = 1 << 20
PROMPTS = ("ACGTACGTAC", "GGGTTTACCA")
CONTEXT = "EVQLVESGGG"
LOGITS = generation_pb2.TokenReport(logits=True)


@pytest.fixture(scope="module")
def listening() -> Iterator[ScriptedScreener]:
    with screener() as script:
        yield script


@pytest.fixture(scope="module")
def guarded(listening: ScriptedScreener) -> Iterator[Live]:
    settings = replace(
        SETTINGS,
        screening=Screening(
            target=listening.target, timeout_s=TIMEOUT_S, max_held_bytes=MAX_HELD_BYTES
        ),
        limits=Limits(heartbeat_s=HEARTBEAT_S),
        telemetry=Telemetry(metrics=Listen("127.0.0.1", 0)),
    )
    with serving(settings) as live:
        yield live


@pytest.fixture
def script(listening: ScriptedScreener) -> ScriptedScreener:
    listening.reset()
    return listening


def refuse_second(asked: pb.ScreenRequest) -> pb.ScreenResponse:
    return REFUSED if asked.sample_index == 1 else ALLOWED


def assert_refused(found: evo2.Followed | progen2.Followed) -> None:
    assert (found.text, found.token_ids, found.finished) == ("", [], None)
    assert found.refusal is not None
    assert found.refusal.code is grpc.StatusCode.PERMISSION_DENIED
    assert found.refusal.reason == "SEQUENCE_REFUSED"
    assert found.refusal.message.endswith("ask the safety officer")
    info = detail(found.refusal.status, error_details_pb2.ErrorInfo)
    assert info is not None
    assert info.metadata == {"retryable": "false", "screening_code": "LISTED"}


def test_allowed_samples_are_those_of_a_server_without_a_screener(
    guarded: Live, live: Live, script: ScriptedScreener
) -> None:
    request = evo2.stream_request(
        *PROMPTS,
        options=evo2.seeded(
            5, 40, num_samples=2, report=generation_pb2.TokenReport(log_probs=True)
        ),
    )
    metadata = (("x-request-id", "screened-1"),)
    found = evo2.followed(guarded.evo2.StreamGenerate(request, metadata=metadata))
    expected = evo2.followed(live.evo2.StreamGenerate(request))
    for pair, sample in expected.items():
        assert found[pair].text == sample.text
        assert [p for m in found[pair].tokens for p in m.log_probs] == [
            p for m in sample.tokens for p in m.log_probs
        ]
        assert len(found[pair].tokens) == 1
        assert found[pair].finished is not None
    assert sorted((a.item_index, a.sample_index, a.sequence, a.prompt) for a in script.asked) == [
        (item, sample, PROMPTS[item] + pair.text, PROMPTS[item])
        for (item, sample), pair in sorted(expected.items())
    ]
    [known] = {(a.request_id, a.model, a.kind, a.caller) for a in script.asked}
    assert known == ("screened-1", NAME, pb.SEQUENCE_KIND_DNA, "")
    evo2.assert_all_is_freed(guarded)


def test_nothing_of_a_sample_comes_before_its_verdict(
    guarded: Live, script: ScriptedScreener
) -> None:
    script.may_answer.clear()
    request = evo2.stream_request(PROMPTS[0], options=evo2.seeded(6, 30))
    messages: queue.SimpleQueue[evo2_pb.StreamGenerateResponse] = queue.SimpleQueue()
    stream = guarded.evo2.StreamGenerate(request)

    def read() -> None:
        for message in stream:
            messages.put(message)

    reader = threading.Thread(target=read)
    reader.start()
    script.wait_until_asked()
    early = [messages.get(timeout=20) for _ in range(messages.qsize() + 2)]
    kinds = [message.WhichOneof("event") for message in early]
    assert set(kinds) == {"started", "heartbeat"}
    assert kinds.count("started") == 1
    assert early[-1].heartbeat.num_prefilled_tokens == len(PROMPTS[0])
    script.may_answer.set()
    reader.join(20)
    late = [messages.get() for _ in range(messages.qsize())]
    found = evo2.only(early + late)
    assert PROMPTS[0] + found.text == script.asked[0].sequence


def test_of_several_samples_the_refused_one_alone_fails(
    guarded: Live, live: Live, script: ScriptedScreener
) -> None:
    script.verdict = refuse_second
    request = evo2.stream_request(*PROMPTS, options=evo2.seeded(7, 20, num_samples=3))
    found = evo2.followed(guarded.evo2.StreamGenerate(request))
    expected = evo2.followed(live.evo2.StreamGenerate(request))
    for (item, sample), pair in expected.items():
        if sample == 1:
            assert_refused(found[item, sample])
        else:
            assert found[item, sample].text == pair.text
    evo2.assert_all_is_freed(guarded)


def test_a_unary_call_fails_whole(guarded: Live, script: ScriptedScreener) -> None:
    request = evo2.request(*PROMPTS, options=evo2.seeded(8, 20, num_samples=2))
    assert len(guarded.evo2.Generate(request).samples) == 4
    script.verdict = refuse_second
    refused = refusal(lambda: guarded.evo2.Generate(request))
    assert (refused.code, refused.reason) == (
        grpc.StatusCode.PERMISSION_DENIED,
        "SEQUENCE_REFUSED",
    )
    evo2.assert_all_is_freed(guarded)


@pytest.mark.parametrize("direction", [progen2_pb.DIRECTION_N_TO_C, progen2_pb.DIRECTION_C_TO_N])
def test_a_protein_is_screened_whole_from_n_to_c(
    guarded: Live, script: ScriptedScreener, direction: progen2_pb.Direction.ValueType
) -> None:
    script.verdict = refuse_second
    asked = progen2.seeded(
        9, 24, direction=direction, num_samples=2, include_likelihood=True, report=LOGITS
    )
    found = progen2.followed(
        guarded.progen2.StreamGenerate(progen2.stream_request(CONTEXT, options=asked))
    )
    assert_refused(found[0, 1])
    end = found[0, 0].finished
    assert end is not None
    assert end.HasField("likelihood")
    allowed, refused = sorted(script.asked, key=lambda a: a.sample_index)
    assert (allowed.sequence, allowed.prompt) == (end.sequence, CONTEXT)
    assert allowed.kind == refused.kind == pb.SEQUENCE_KIND_PROTEIN
    is_reversed = direction == progen2_pb.DIRECTION_C_TO_N
    assert (refused.sequence.endswith if is_reversed else refused.sequence.startswith)(CONTEXT)
    assert refused.sequence != CONTEXT
    one = progen2.request(CONTEXT, options=asked)
    assert refusal(lambda: guarded.progen2.Generate(one)).reason == "SEQUENCE_REFUSED"
    progen2.assert_all_is_freed(guarded)


def test_what_goes_on_is_screened_with_all_that_was_drawn_before(
    guarded: Live, live: Live, script: ScriptedScreener
) -> None:
    """Also where nothing is left to draw, and only the end is told."""
    asked = progen2.seeded(10, 20)
    whole = progen2.only(
        live.progen2.StreamGenerate(progen2.stream_request(CONTEXT, options=asked))
    )
    so_far = "".join(message.text for message in whole.tokens)
    token = whole.tokens[-1].resume_token
    request = progen2.stream_request(CONTEXT + so_far, options=asked, resume_token=token)
    end = progen2.only(guarded.progen2.StreamGenerate(request))
    assert end.finished is not None
    assert [a.sequence for a in script.asked] == [end.finished.sequence] == [CONTEXT + so_far]
    script.verdict = lambda _: REFUSED
    assert_refused(progen2.only(guarded.progen2.StreamGenerate(request)))
    first = whole.tokens[0]
    rest = progen2.stream_request(
        CONTEXT + first.text, options=asked, resume_token=first.resume_token
    )
    assert_refused(progen2.only(guarded.progen2.StreamGenerate(rest)))
    assert script.asked[-1].sequence == CONTEXT + so_far
    assert script.asked[-1].prompt == CONTEXT + first.text


def test_a_bad_prompt_is_not_asked_about(guarded: Live, script: ScriptedScreener) -> None:
    request = evo2.stream_request("", PROMPTS[0], options=evo2.seeded(11, 8))
    found = evo2.followed(guarded.evo2.StreamGenerate(request))
    assert found[0, 0].refusal is not None
    assert found[1, 0].finished is not None
    assert [a.item_index for a in script.asked] == [1]


def test_without_a_verdict_a_sample_may_be_asked_for_again(
    guarded: Live, script: ScriptedScreener
) -> None:
    script.verdict = fail
    request = evo2.stream_request(PROMPTS[0], options=evo2.seeded(12, 8))
    found = evo2.only(guarded.evo2.StreamGenerate(request))
    assert found.token_ids == []
    assert found.refusal is not None
    assert found.refusal.code is grpc.StatusCode.UNAVAILABLE
    assert found.refusal.reason == "SCREENING_UNAVAILABLE"
    retry = detail(found.refusal.status, error_details_pb2.RetryInfo)
    assert retry is not None
    assert retry.retry_delay.seconds == 1


def test_more_than_may_be_held_is_refused_before_any_work(
    guarded: Live, script: ScriptedScreener
) -> None:
    asked = evo2.seeded(13, 600, report=LOGITS)
    request = evo2.stream_request(PROMPTS[0], options=asked)
    refused = refusal(lambda: guarded.evo2.StreamGenerate(request))
    assert (refused.code, refused.reason) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "REQUEST_TOO_LARGE",
    )
    assert script.asked == []
    evo2.assert_all_is_freed(guarded)


def test_large_samples_come_in_messages_that_every_client_takes(
    guarded: Live, script: ScriptedScreener
) -> None:
    """`Followed` holds each message to its bound; two of them may be held at once."""
    asked = evo2.seeded(14, 270, report=LOGITS)
    request = evo2.stream_request(PROMPTS[0], options=asked)
    found = evo2.only(guarded.evo2.StreamGenerate(request))
    assert len(found.text) == 270
    assert evo2.arrays(found.tokens, "logits").shape == (270, 512)
    assert len(found.tokens) > 1
    assert all(message.resume_token for message in found.tokens)


def test_who_leaves_frees_everything(guarded: Live, script: ScriptedScreener) -> None:
    script.may_answer.clear()
    request = evo2.stream_request(PROMPTS[0], options=evo2.seeded(15, 8))
    stream = guarded.evo2.StreamGenerate(request)
    script.wait_until_asked()
    stream.cancel()
    assert isinstance(guarded.app.host, LocalHost)
    screening = guarded.app.host._screening
    assert screening is not None
    until(lambda: screening.room.num_bytes == 0)
    evo2.assert_all_is_freed(guarded)


def test_a_program_that_is_not_there_is_told_at_the_start() -> None:
    async def start() -> None:
        await LocalHost(replace(SETTINGS, screening=Screening(("/nowhere/screener",)))).start()

    with pytest.raises(FileNotFoundError, match="/nowhere/screener"):
        asyncio.run(start())


def test_verdicts_are_counted(guarded: Live, script: ScriptedScreener) -> None:
    before = Scraped.of(guarded)
    script.verdict = refuse_second
    request = evo2.stream_request(PROMPTS[0], options=evo2.seeded(16, 8, num_samples=3))
    evo2.followed(guarded.evo2.StreamGenerate(request))
    after = Scraped.of(guarded)
    for verdict, count in (("allowed", 2), ("refused", 1), ("failed", 0)):
        labels = {"model": NAME, "verdict": verdict}
        name = "primase_screenings_total"
        assert after.number(name, **labels) - before.number(name, **labels) == count
