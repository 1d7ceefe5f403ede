"""Callers need the Engine and Ticket protocols alone: a fake remote engine serves them as well."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from primase_server.engine.engine import Engine, QueueState, Ticket
from primase_server.engine.events import Event, ItemFinished, Timings
from primase_server.engine.generation import GenerationJob
from primase_server.engine.job import Job
from primase_server.engine.local import LocalEngine
from primase_server.errors import ShuttingDown
from tests.engine.toys import ROOMY, EchoRunner, ToyItem, toy_job, values


class FarTicket:
    """Asks a far replica for each event; its refusal comes here and not from `submit`."""

    def __init__(self, job: Job | GenerationJob) -> None:
        self._job = job
        self._is_cancelled = False

    async def __aiter__(self) -> AsyncIterator[Event]:
        assert isinstance(self._job, Job)
        for index, item in enumerate(self._job.items):
            await asyncio.sleep(0)
            if self._is_cancelled:
                raise ShuttingDown("the replica is gone")
            assert isinstance(item, ToyItem)
            value = item.finish(item.lengths)
            yield ItemFinished(index, value, Timings(0.0, 0.0, 0.0))

    async def take(
        self, max_bytes: int, timeout_s: float | None = None, gather_s: float = 0.0
    ) -> list[Event]:
        raise NotImplementedError

    def heartbeat(self) -> None: ...

    def cancel(self) -> None:
        self._is_cancelled = True


class FarEngine:
    def submit(self, job: Job | GenerationJob) -> FarTicket:
        return FarTicket(job)

    def queue_state(self, name: str) -> QueueState:
        return QueueState(0, 0, 0, 0, 0.0)

    async def drain(self, timeout_s: float) -> None: ...

    async def close(self) -> None: ...


async def caller(engine: Engine) -> list[object]:
    """What a servicer does, knowing nothing of where the engine is."""
    job = toy_job(ToyItem("a", (1, 2)), ToyItem("b", (3,)))
    ticket: Ticket = engine.submit(job)
    try:
        told = [event async for event in ticket]
    finally:
        ticket.cancel()
    await engine.drain(1.0)
    await engine.close()
    return values(told)


@pytest.mark.parametrize("where", ["near", "far"])
def test_callers_cannot_tell_engines_apart(where: str) -> None:
    async def run() -> list[object]:
        if where == "far":
            return await caller(FarEngine())
        engine = LocalEngine()
        engine.add_model("toy", EchoRunner(), ROOMY)
        return await caller(engine)

    assert asyncio.run(run()) == [("a", (1, 2)), ("b", (3,))]
