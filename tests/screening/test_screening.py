"""Whatever a screener does, a sample is allowed by a verdict alone."""

import asyncio
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from primase_server.errors import QueueFull, RequestTooLarge, ScreeningUnavailable, SequenceRefused
from primase_server.screening.screener import Question, Refused, ScreenerFailed
from primase_server.screening.screening import HeldRoom, Screening, configured
from primase_server.settings import Screening as Settings
from tests.screening.programs import question

SEQUENCE = "GATTACAGATTACA"


class Answering:
    """A screener that does what it is told to."""

    def __init__(self, answer: Callable[[], Refused | None]) -> None:
        self._answer = answer

    async def start(self) -> None: ...

    async def screen(self, question: Question) -> Refused | None:
        return self._answer()

    async def close(self) -> None: ...


class Never(Answering):
    async def screen(self, question: Question) -> Refused | None:
        await asyncio.Event().wait()
        return None


class Counting:
    """An observer."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def screened(self, model: str, verdict: str) -> None:
        self.seen.append((model, verdict))


def raising(error: BaseException) -> Callable[[], Refused | None]:
    def answer() -> Refused | None:
        raise error

    return answer


def test_a_sample_is_allowed() -> None:
    counting = Counting()
    screening = Screening(Answering(lambda: None), 5, 100, counting)
    assert asyncio.run(screening.error_of(question(SEQUENCE))) is None
    assert counting.seen == [("evo2-7b", "allowed")]


def test_a_refusal_is_told_to_the_caller_and_logged_by_its_code() -> None:
    counting = Counting()
    refused = Refused("LISTED", f"holds {SEQUENCE}")
    screening = Screening(Answering(lambda: refused), 5, 100, counting)
    with capture_logs() as lines:
        error = asyncio.run(screening.error_of(question(SEQUENCE)))
    assert isinstance(error, SequenceRefused)
    assert (error.code, refused.message in error.message) == ("LISTED", True)
    assert counting.seen == [("evo2-7b", "refused")]
    assert lines == [
        {
            "event": "sample_refused",
            "log_level": "info",
            "code": "LISTED",
            "request_id": "r1",
            "model": "evo2-7b",
            "item_index": 2,
            "sample_index": 1,
        }
    ]


@pytest.mark.parametrize(
    ("screener", "why"),
    [
        (Answering(raising(ScreenerFailed("it is away"))), "it is away"),
        (Answering(raising(ValueError(SEQUENCE))), "ValueError"),
        (Never(lambda: None), "no verdict in 0.05 s"),
    ],
)
def test_without_a_verdict_it_is_not_allowed(screener: Answering, why: str) -> None:
    counting = Counting()
    screening = Screening(screener, 0.05, 100, counting)
    with capture_logs() as lines:
        error = asyncio.run(screening.error_of(question(SEQUENCE)))
    assert isinstance(error, ScreeningUnavailable)
    assert error.retry_after_s == 1
    assert counting.seen == [("evo2-7b", "failed")]
    assert [(line["event"], line["why"]) for line in lines] == [("screening_failed", why)]
    assert SEQUENCE not in str(lines) + error.message


def test_who_gives_the_call_up_is_not_answered() -> None:
    async def give_up() -> None:
        screening = Screening(Never(lambda: None), 60, 100)
        asking = asyncio.create_task(screening.error_of(question()))
        await asyncio.sleep(0)
        asking.cancel()
        await asking

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(give_up())


def test_room_is_taken_by_whole_calls_and_given_back() -> None:
    room = HeldRoom(100)
    with room.reserved(60):
        with pytest.raises(QueueFull), room.reserved(50):
            pass
        with room.reserved(40):
            assert room.num_bytes == 100
        with pytest.raises(RequestTooLarge, match="101 bytes, and there are 100"):
            room.reserved(101).__enter__()
    assert room.num_bytes == 0


def test_nobody_is_asked_unless_an_operator_wants_it() -> None:
    assert configured(Settings(), None) is None
