"""A toy generation scheduler: streaming through the same engine, loop, ticket and cancellation."""

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from primase_server.engine.engine import Pace, QueueState
from primase_server.engine.events import (
    Event,
    Finished,
    FinishReason,
    Started,
    Timings,
    Tokens,
)
from primase_server.engine.generation import GenerationJob
from primase_server.engine.local import LocalEngine
from primase_server.engine.scheduler import Delivery, GiveWay, Recipient, ShortStep
from primase_server.errors import Cancelled, NotServed, PrimaseError
from tests.engine.toys import ROOMY, WAIT_S, EchoRunner, ToyItem, read_all, toy_job, values

UNREAD_TOKENS = 4


@dataclass(eq=False)
class Counting:
    """One running sequence: its next token is the last plus one."""

    job: GenerationJob
    recipient: Recipient
    last_token: int
    num_sent: int = 0
    num_unread: int = 0

    @property
    def num_new_tokens(self) -> int:
        return max(self.num_sent - 1, 0)

    def next_event(self) -> Event:
        pair = (0, 0, self.num_sent)
        self.num_sent += 1
        if pair[2] == 0:
            return Started(*pair, seed=self.job.seed or 0, num_prompt_tokens=1)
        if pair[2] > self.job.max_new_tokens:
            timings = Timings(0.0, 0.0, 0.0)
            return Finished(*pair, FinishReason.LENGTH, self.job.max_new_tokens, timings)
        self.last_token += 1
        return Tokens(*pair, token_ids=(self.last_token,))


@dataclass(frozen=True)
class CountingStep:
    rows: Sequence[Counting]
    gate: threading.Semaphore
    pace: Pace = field(default_factory=Pace)

    @property
    def num_tokens(self) -> int:
        return len(self.rows)

    @property
    def batch_size(self) -> int:
        return len(self.rows)

    def run(self, give_way: GiveWay) -> None:
        assert self.gate.acquire(timeout=WAIT_S)

    def settle(self, now_s: float) -> Sequence[Delivery]:
        return [self._next_of(row) for row in self.rows]

    def _next_of(self, row: Counting) -> Delivery:
        event = row.next_event()
        row.num_unread += 1
        return Delivery(row.recipient, event, num_bytes=1, is_last=isinstance(event, Finished))


class CountingScheduler:
    """Every sequence that is not paused advances in every step."""

    def __init__(self) -> None:
        self.gate = threading.Semaphore(0)
        self.rows: dict[Recipient, Counting] = {}

    @property
    def state(self) -> QueueState:
        return QueueState(0, 0, len(self.rows), 0, 0.0)

    def add(self, job: GenerationJob, recipient: Recipient, now_s: float) -> list[Delivery]:
        [prompt] = job.prompts
        assert not isinstance(prompt, PrimaseError)
        self.rows[recipient] = Counting(job, recipient, last_token=prompt[-1])
        return []

    def plan(self, now_s: float, short: ShortStep | None = None) -> CountingStep | None:
        ready = [row for row in self.rows.values() if self._is_ready(row)]
        return CountingStep(ready, self.gate) if ready else None

    def read(self, recipient: Recipient, num_bytes: int) -> None:
        if recipient in self.rows:
            self.rows[recipient].num_unread -= num_bytes

    def heartbeat(self, recipient: Recipient) -> None: ...

    def forget(self, recipient: Recipient) -> None:
        self.rows.pop(recipient, None)

    def _is_ready(self, row: Counting) -> bool:
        is_over = row.num_sent > row.job.max_new_tokens + 1
        return not is_over and row.num_unread < UNREAD_TOKENS


def counting_job(first: int, max_new_tokens: int) -> GenerationJob:
    return GenerationJob("toy", "request", [(first,)], max_new_tokens)


def token_ids(events: Sequence[Event]) -> list[int]:
    return [token for event in events if isinstance(event, Tokens) for token in event.token_ids]


def test_sequences_stream_join_pause_and_leave() -> None:
    async def run() -> None:
        scheduler = CountingScheduler()
        engine = LocalEngine()
        engine.add_model("toy", EchoRunner(), ROOMY, generation=scheduler)
        slow = engine.submit(counting_job(0, 50))
        cancelled = engine.submit(counting_job(500, 10**9))
        scheduler.gate.release(10**6)
        quick = await read_all(engine.submit(counting_job(100, 50)))
        assert token_ids(quick) == list(range(101, 151))
        assert isinstance(quick[0], Started)
        assert isinstance(quick[-1], Finished)
        assert [event.sequence_number for event in quick] == list(range(52))  # type: ignore[union-attr]
        one_shot = await read_all(engine.submit(toy_job(ToyItem("a", (1,)))))
        assert values(one_shot) == [("a", (1,))]
        assert {row.num_unread for row in scheduler.rows.values()} == {UNREAD_TOKENS}
        cancelled.cancel()
        assert len(scheduler.rows) == 1
        with pytest.raises(Cancelled):
            await read_all(cancelled)
        assert token_ids(await read_all(slow)) == list(range(1, 51))
        assert scheduler.rows == {}
        await engine.drain(WAIT_S)
        await engine.close()

    asyncio.run(run())


def test_a_model_without_a_generation_scheduler_does_not_generate() -> None:
    async def run() -> None:
        engine = LocalEngine()
        engine.add_model("toy", EchoRunner(), ROOMY)
        with pytest.raises(NotServed):
            engine.submit(counting_job(0, 1))
        await engine.close()

    asyncio.run(run())


def test_a_job_knows_its_tokens() -> None:
    job = GenerationJob("toy", "request", [(1, 2, 3), (4,)], max_new_tokens=10, num_samples=2)
    assert job.num_tokens == 4 + 2 * 2 * 10
