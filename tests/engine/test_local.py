"""The engine with its real threads; the tests decide when a step runs, and nothing sleeps."""

import asyncio
import gc
import time
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from primase_server.engine.engine import QueueState
from primase_server.engine.events import ItemFailed, ItemFinished
from primase_server.engine.limits import EngineLimits
from primase_server.engine.local import LocalEngine
from primase_server.engine.observer import EngineObserver
from primase_server.engine.one_shot import OneShotRunner
from primase_server.engine.scheduler import GiveWay
from primase_server.errors import (
    Cancelled,
    DeadlineExpired,
    DeadlineTooShort,
    InternalError,
    InvalidRequest,
    ModelNotReady,
    OutOfMemory,
    OutputUnavailable,
    PrimaseError,
    QueueFull,
    RequestTooLarge,
    SequenceTooLong,
    ShuttingDown,
    UnknownModel,
)
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

EMPTY = QueueState(0, 0, 0, 0, 0.0)


@asynccontextmanager
async def serving(
    runner: OneShotRunner, limits: EngineLimits = ROOMY, observer: EngineObserver | None = None
) -> AsyncIterator[LocalEngine]:
    engine = LocalEngine(observer)
    engine.add_model("toy", runner, limits)
    try:
        async with asyncio.timeout(WAIT_S):
            yield engine
    finally:
        if isinstance(runner, GatedRunner):
            runner.let(1000)
        await engine.close()


def on_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """The test as a plain function on an event loop of its own."""

    def run() -> None:
        asyncio.run(test())

    run.__name__ = test.__name__
    run.__doc__ = test.__doc__
    return run


async def entered(runner: GatedRunner) -> list[str]:
    """Names in the step that is now on the device."""
    return [payload.name for payload in await asyncio.to_thread(runner.wait_entered)]


def books(engine: LocalEngine) -> QueueState:
    return replace(engine.queue_state("toy"), tokens_per_s=0.0)


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


@on_loop
async def test_drain_waits_for_all_work_under_load() -> None:
    runner = GatedRunner()
    async with serving(runner) as engine:
        tickets = [engine.submit(single(f"{n}", 100)) for n in range(20)]
        await entered(runner)
        with pytest.raises(TimeoutError):
            await engine.drain(timeout_s=0.0)
        draining = asyncio.create_task(engine.drain(WAIT_S))
        late = engine.submit(single("late", 100))  # accepted calls still come in while draining
        runner.let(21)
        await draining
        assert books(engine).queued_items == 0
        for ticket in (*tickets, late):
            assert len(await read_all(ticket)) == 1


@on_loop
async def test_close_ends_open_jobs_and_refuses_new_ones() -> None:
    runner = GatedRunner()
    async with serving(runner) as engine:
        done = engine.submit(single("done", 100))
        await entered(runner)
        runner.let()
        await engine.drain(WAIT_S)
        running, queued = engine.submit(single("r", 100)), engine.submit(single("q", 100))
        await entered(runner)
        closing = asyncio.create_task(engine.close())
        for ticket in (running, queued):
            with pytest.raises(ShuttingDown):
                await read_all(ticket)
        with pytest.raises(ShuttingDown):
            engine.submit(single("new", 1))
        runner.let()
        await closing
        await engine.close()
        assert runner.names == [["done"], ["r"]]
        assert values(await read_all(done)) == [("done", (100,))]


@on_loop
async def test_models_that_are_not_there() -> None:
    async with serving(EchoRunner()) as engine:
        with pytest.raises(UnknownModel):
            engine.submit(toy_job(ToyItem("a", (1,)), model="other"))
        engine.refuse_model("other", "is loading")
        with pytest.raises(ModelNotReady, match="loading"):
            engine.queue_state("other")
        engine.add_model("other", EchoRunner(), ROOMY)
        assert engine.queue_state("other") == EMPTY
        with pytest.raises(ValueError, match="served already"):
            engine.add_model("other", EchoRunner(), ROOMY)


@on_loop
async def test_a_removed_model_ends_its_own_jobs() -> None:
    runner = GatedRunner()
    async with serving(runner) as engine:
        engine.add_model("other", EchoRunner(), ROOMY)
        gone = engine.submit(single("gone", 100))
        await entered(runner)
        stays = engine.submit(toy_job(ToyItem("stays", (1,)), model="other"))
        engine.remove_model("toy")
        with pytest.raises(ModelNotReady):
            await read_all(gone)
        with pytest.raises(UnknownModel):
            engine.submit(single("new", 1))
        runner.let()
        assert values(await read_all(stays)) == [("stays", (1,))]


@on_loop
async def test_models_on_one_device_take_turns() -> None:
    runner = GatedRunner()
    async with serving(runner) as engine:
        engine.add_model("other", runner, ROOMY)
        tickets = [engine.submit(single(f"toy {n}", 100)) for n in range(3)]
        await entered(runner)
        for n in range(3):
            job = toy_job(ToyItem(f"other {n}", (100,)), model="other")
            tickets.append(engine.submit(job))
        runner.let(6)
        for ticket in tickets:
            await read_all(ticket)
        assert [names[0].split()[0] for names in runner.names] == ["toy", "other"] * 3


@on_loop
async def test_devices_do_not_wait_for_each_other() -> None:
    runner = GatedRunner()
    async with serving(runner) as engine:
        engine.add_model("other", EchoRunner(), ROOMY, device="second")
        blocked = engine.submit(single("blocked", 1))
        await entered(runner)
        other = engine.submit(toy_job(ToyItem("a", (1,)), model="other"))
        assert values(await read_all(other)) == [("a", (1,))]
        runner.let()
        await read_all(blocked)


class Recorder:
    def __init__(self) -> None:
        self.steps: list[tuple[str, int, int]] = []
        self.ends: list[type[PrimaseError] | None] = []

    def step_finished(self, model: str, num_tokens: int, batch_size: int, elapsed_s: float) -> None:
        assert elapsed_s > 0
        self.steps.append((model, num_tokens, batch_size))

    def job_ended(self, model: str, error: PrimaseError | None, total_s: float) -> None:
        assert model == "toy"
        assert total_s > 0
        self.ends.append(type(error) if error is not None else None)


def test_an_observer_hears_of_steps_and_ends() -> None:
    observer = Recorder()
    runner = GatedRunner()

    async def run() -> None:
        async with serving(runner, observer=observer) as engine:
            tickets = [engine.submit(single(f"{n}", 40)) for n in range(3)]
            await entered(runner)
            tickets[2].cancel()
            runner.let(2)
            await read_all(tickets[0])
            await read_all(tickets[1])

    asyncio.run(run())
    assert sum(num_tokens for _, num_tokens, _ in observer.steps) == 80
    assert sum(batch_size for _, _, batch_size in observer.steps) == 2
    assert observer.ends == [Cancelled, None, None]


@on_loop
async def test_work_is_freed_with_its_job() -> None:
    runner = GatedRunner()
    async with serving(runner) as engine:
        engine.submit(single("first", 100))
        await entered(runner)
        item = ToyItem("heavy", (100,))
        alive = weakref.ref(item)
        ticket = engine.submit(toy_job(item))
        del item
        ticket.cancel()
        gc.collect()
        assert alive() is None
