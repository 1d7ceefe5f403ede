"""The engine with its real threads; the tests decide when a step runs, and nothing sleeps."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from primase_server.engine.engine import QueueState
from primase_server.engine.events import ItemFailed, ItemFinished
from primase_server.engine.scheduler import GiveWay
from primase_server.errors import (
    Cancelled,
    DeadlineExpired,
    DeadlineTooShort,
    InternalError,
    InvalidRequest,
    OutOfMemory,
    OutputUnavailable,
    QueueFull,
    RequestTooLarge,
    SequenceTooLong,
)
from tests.engine.live import EMPTY, books, entered, on_loop, serving
from tests.engine.toys import (
    ROOMY,
    WAIT_S,
    EchoRunner,
    GatedRunner,
    ToyItem,
    indices,
    read_all,
    single,
    toy_job,
    values,
)


@on_loop
async def test_results_come_in_item_order_with_timings() -> None:
    async with serving(EchoRunner()) as engine:
        items = [ToyItem("a", (60, 60)), ToyItem("b", (5,)), ToyItem("c", (99,))]
        events = await read_all(engine.submit(toy_job(*items)))
        assert values(events) == [("a", (60, 60)), ("b", (5,)), ("c", (99,))]
        assert indices(events) == [0, 1, 2]
        for event in events:
            assert isinstance(event, ItemFinished)
            timings = event.timings
            assert 0 <= timings.queue_s <= timings.total_s
            assert 0 < timings.compute_s <= timings.total_s
        assert books(engine) == EMPTY


@on_loop
async def test_two_hundred_jobs_at_once_all_get_their_own_results() -> None:
    async with serving(EchoRunner()) as engine:
        jobs = [
            toy_job(*(ToyItem(f"{n}.{i}", (1 + n % 90, 1 + i)) for i in range(1 + n % 5)))
            for n in range(200)
        ]
        told = await asyncio.gather(*(read_all(engine.submit(job)) for job in jobs))
        for job, events in zip(jobs, told, strict=True):
            assert values(events) == [(i.name, i.lengths) for i in job.items]  # type: ignore[union-attr]
        assert books(engine) == EMPTY


@on_loop
async def test_a_bad_item_is_reported_in_its_place() -> None:
    async with serving(EchoRunner()) as engine:
        bad = OutputUnavailable("no contacts")
        job = toy_job(ToyItem("a", (1,)), bad, ToyItem("too long", (50, 101)), ToyItem("b", (2,)))
        events = await read_all(engine.submit(job))
        assert values(events) == [("a", (1,)), OutputUnavailable, SequenceTooLong, ("b", (2,))]
        assert isinstance(events[2], ItemFailed)
        assert isinstance(events[2].error, SequenceTooLong)
        assert events[2].error.violations[0].field == "sequence"


@on_loop
async def test_a_job_of_bad_items_alone_ends_at_once() -> None:
    async with serving(GatedRunner()) as engine:
        ticket = engine.submit(toy_job(OutputUnavailable("no"), OutputUnavailable("no")))
        assert values(await read_all(ticket)) == [OutputUnavailable, OutputUnavailable]
        await engine.drain(timeout_s=0.0)


@on_loop
async def test_an_item_without_passes_needs_no_step() -> None:
    runner = GatedRunner()
    async with serving(runner) as engine:
        assert values(await read_all(engine.submit(toy_job(ToyItem("a", ()))))) == [("a", ())]
        assert books(engine) == EMPTY


@on_loop
async def test_a_job_without_items_is_refused() -> None:
    async with serving(EchoRunner()) as engine:
        with pytest.raises(InvalidRequest):
            engine.submit(toy_job())


@on_loop
async def test_cancelled_work_is_gone_before_the_next_step() -> None:
    runner = GatedRunner()
    async with serving(runner) as engine:
        first = engine.submit(single("first", 100))
        assert await entered(runner) == ["first"]
        second, third = engine.submit(single("second", 100)), engine.submit(single("third", 100))
        assert books(engine) == QueueState(200, 3, 3, 100, 0.0)
        second.cancel()
        second.cancel()
        assert books(engine) == QueueState(100, 2, 2, 100, 0.0)
        runner.let(2)
        assert values(await read_all(first)) == [("first", (100,))]
        assert values(await read_all(third)) == [("third", (100,))]
        with pytest.raises(Cancelled):
            await read_all(second)
        assert runner.names == [["first"], ["third"]]


@on_loop
async def test_a_job_cancelled_while_it_runs_leaves_nothing_behind() -> None:
    runner = GatedRunner()
    async with serving(runner) as engine:
        ticket = engine.submit(toy_job(ToyItem("a", (100, 100)), ToyItem("b", (100,))))
        after = engine.submit(single("after", 100))
        assert await entered(runner) == ["a"]
        ticket.cancel()
        assert books(engine) == QueueState(100, 1, 1, 100, 0.0)
        runner.let(2)
        assert values(await read_all(after)) == [("after", (100,))]
        assert runner.names == [["a"], ["after"]]
        assert books(engine) == EMPTY


@on_loop
async def test_cancelling_frees_results_that_nobody_read() -> None:
    async with serving(EchoRunner()) as engine:
        ticket = engine.submit(single("a", 1))
        await engine.drain(WAIT_S)
        assert books(engine) == QueueState(0, 1, 0, 0, 0.0)
        ticket.cancel()
        assert books(engine) == EMPTY
        assert await read_all(ticket) == []


@on_loop
async def test_a_waiting_reader_hears_of_a_cancel_from_elsewhere() -> None:
    runner = GatedRunner()
    async with serving(runner) as engine:
        ticket = engine.submit(single("a", 1))
        reader = asyncio.create_task(read_all(ticket))
        await entered(runner)
        ticket.cancel()
        with pytest.raises(Cancelled):
            await reader


@on_loop
async def test_the_deadline_ends_a_job_while_a_step_still_runs() -> None:
    runner = GatedRunner()
    async with serving(runner) as engine:
        late = toy_job(ToyItem("late", (100, 100)), deadline_s=time.monotonic() + 0.03)
        ticket = engine.submit(late)
        assert await entered(runner) == ["late"]
        with pytest.raises(DeadlineExpired):
            await read_all(ticket)
        assert books(engine) == QueueState(0, 0, 0, 100, 0.0)
        after = engine.submit(single("after", 1))
        runner.let(2)
        await read_all(after)
        assert runner.names == [["late"], ["after"]]


@on_loop
async def test_a_deadline_that_has_passed_is_refused() -> None:
    async with serving(EchoRunner()) as engine:
        with pytest.raises(DeadlineTooShort):
            engine.submit(toy_job(ToyItem("a", (1,)), deadline_s=time.monotonic() - 1))
        assert books(engine) == EMPTY


@on_loop
async def test_a_met_deadline_ends_nothing() -> None:
    async with serving(EchoRunner()) as engine:
        job = toy_job(ToyItem("a", (1,)), deadline_s=time.monotonic() + WAIT_S)
        assert values(await read_all(engine.submit(job))) == [("a", (1,))]


@on_loop
async def test_a_result_in_time_may_be_read_after_the_deadline() -> None:
    runner = GatedRunner()
    async with serving(runner) as engine:
        soon_s = time.monotonic() + 0.02
        done = engine.submit(toy_job(ToyItem("done", (1,)), deadline_s=soon_s))
        runner.let()
        await engine.drain(WAIT_S)
        later = engine.submit(toy_job(ToyItem("later", (1,)), deadline_s=soon_s + 0.02))
        with pytest.raises(DeadlineExpired):
            await read_all(later)
        assert values(await read_all(done)) == [("done", (1,))]


@on_loop
async def test_a_slow_reader_pauses_its_own_job_only() -> None:
    runner = EchoRunner()
    async with serving(runner, replace(ROOMY, max_pending_result_bytes=3)) as engine:
        slow = engine.submit(toy_job(*(ToyItem(f"slow {n}", (10,)) for n in range(20))))
        for n in range(10):
            items = [ToyItem(f"quick {n} {i}", (10,)) for i in range(20)]
            assert len(await read_all(engine.submit(toy_job(*items)))) == 20
        ran = [name for names in runner.names for name in names if name.startswith("slow")]
        assert ran == ["slow 0", "slow 1", "slow 2"]
        assert values(await read_all(slow)) == [(f"slow {n}", (10,)) for n in range(20)]
        assert books(engine) == EMPTY


@on_loop
async def test_a_full_queue_refuses_with_a_time_to_come_back() -> None:
    runner = GatedRunner()
    async with serving(runner, replace(ROOMY, max_queued_tokens=150)) as engine:
        with pytest.raises(RequestTooLarge):
            engine.submit(single("never", 151))
        engine.submit(single("running", 100))
        await entered(runner)
        engine.submit(single("waiting", 100))
        with pytest.raises(QueueFull) as refused:
            engine.submit(single("refused", 100))
        assert refused.value.retry_after_s > 0
        engine.submit(single("small", 50))


class FaultyRunner(EchoRunner):
    """Raises what a payload's name says, for any batch that holds one."""

    out_of_memory_errors = (BufferError,)
    errors: ClassVar[dict[str, Exception]] = {
        "fault": ValueError("MKTAYIAK"),
        "memory": MemoryError(),
        "device memory": BufferError(),
        "known": OutputUnavailable("no contacts"),
    }

    def run(self, payloads: Sequence[object], give_way: GiveWay) -> Sequence[object]:
        outputs = super().run(payloads, give_way)
        for payload in self.batches[-1]:
            if payload.name in self.errors:
                raise self.errors[payload.name]
        return outputs


@on_loop
async def test_one_bad_pass_costs_its_own_item_only() -> None:
    async with serving(FaultyRunner()) as engine:
        names = ["a", "fault", "b", "memory", "c", "device memory", "known", "d"]
        ticket = engine.submit(toy_job(*(ToyItem(name, (5, 5)) for name in names)))
        other = engine.submit(toy_job(ToyItem("e", (5,)), ToyItem("f", (5,))))
        assert values(await read_all(ticket)) == [
            ("a", (5, 5)),
            InternalError,
            ("b", (5, 5)),
            OutOfMemory,
            ("c", (5, 5)),
            OutOfMemory,
            OutputUnavailable,
            ("d", (5, 5)),
        ]
        assert values(await read_all(other)) == [("e", (5,)), ("f", (5,))]
        assert books(engine) == EMPTY


@on_loop
async def test_the_rest_of_a_failed_item_never_runs() -> None:
    runner = FaultyRunner()
    async with serving(runner) as engine:
        job = toy_job(ToyItem("fault", (100, 100, 100)), ToyItem("a", (100,)))
        assert values(await read_all(engine.submit(job))) == [InternalError, ("a", (100,))]
        assert runner.names == [["fault"], ["a"]]


@on_loop
async def test_a_runner_that_loses_an_output_fails_the_item() -> None:
    class Forgetful(EchoRunner):
        def run(self, payloads: Sequence[object], give_way: GiveWay) -> Sequence[object]:
            return super().run(payloads, give_way)[1:]

    async with serving(Forgetful()) as engine:
        assert values(await read_all(engine.submit(single("a", 1)))) == [InternalError]


@on_loop
async def test_an_item_may_fail_in_its_own_code() -> None:
    class Broken(ToyItem):
        def finish(self, outputs: Sequence[object]) -> object:
            raise KeyError("finish")

    class Undrawable(ToyItem):
        def passes(self) -> Any:
            yield from super().passes()
            raise OutputUnavailable("not this one")

    async with serving(EchoRunner()) as engine:
        job = toy_job(Broken("a", (1,)), Undrawable("b", (1,)), ToyItem("c", (1,)))
        told = values(await read_all(engine.submit(job)))
        assert told == [InternalError, OutputUnavailable, ("c", (1,))]
        assert books(engine) == EMPTY
