"""Several models and devices in one engine, and the end of it all."""

import asyncio
import gc
import weakref
from collections.abc import Sequence
from contextlib import nullcontext

import pytest

from primase_server.engine.observer import Observers, SilentObserver, StepSeen
from primase_server.engine.scheduler import GiveWay
from primase_server.errors import (
    Cancelled,
    InternalError,
    ModelNotReady,
    PrimaseError,
    RequestTooLarge,
    ShuttingDown,
    UnknownModel,
)
from tests.engine.live import EMPTY, books, entered, on_loop, serving
from tests.engine.toys import (
    ROOMY,
    WAIT_S,
    EchoRunner,
    GatedRunner,
    ToyItem,
    read_all,
    single,
    toy_job,
    values,
)


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


class Recorder(SilentObserver):
    def __init__(self) -> None:
        self.lost: list[str] = []
        self.steps: list[tuple[str, int, int]] = []
        self.ends: list[type[PrimaseError] | None] = []
        self.admitted: list[str] = []
        self.refused: list[tuple[str, type[PrimaseError]]] = []

    def step_finished(self, model: str, step: StepSeen) -> None:
        assert step.elapsed_s > 0
        assert step.max_tokens == ROOMY.max_batch_tokens
        self.steps.append((model, step.num_tokens, step.num_rows))

    def job_admitted(self, model: str) -> None:
        self.admitted.append(model)

    def job_refused(self, model: str, error: PrimaseError) -> None:
        self.refused.append((model, type(error)))

    def job_ended(self, model: str, error: PrimaseError | None, total_s: float) -> None:
        assert model == "toy"
        assert total_s > 0
        self.ends.append(type(error) if error is not None else None)

    def model_lost(self, model: str) -> None:
        self.lost.append(model)


class LostDevice(EchoRunner):
    """Fails, and says whether its device still works."""

    def __init__(self, *, works: bool) -> None:
        super().__init__()
        self._works = works

    def run(self, payloads: Sequence[object], give_way: GiveWay) -> Sequence[object]:
        raise RuntimeError("a fault")

    def device_works(self) -> bool:
        return self._works


@pytest.mark.parametrize("works", [True, False])
def test_a_device_that_is_lost_takes_its_model_and_an_error_that_passes_does_not(
    works: bool,
) -> None:
    async def run() -> None:
        observer = Recorder()
        async with serving(LostDevice(works=works), observer=observer) as engine:
            with nullcontext() if works else pytest.raises(InternalError):
                assert values(await read_all(engine.submit(single("a", 1)))) == [InternalError]
            assert observer.lost == ([] if works else ["toy"])
            with nullcontext() if works else pytest.raises(ModelNotReady):
                engine.submit(single("b", 1)).cancel()

    asyncio.run(run())


def test_observers_hear_of_admissions_steps_and_ends() -> None:
    observer, other = Recorder(), Recorder()
    runner = GatedRunner()

    async def run() -> None:
        async with serving(runner, observer=Observers((observer, other))) as engine:
            with pytest.raises(RequestTooLarge):
                engine.submit(single("large", ROOMY.max_queued_tokens + 1))
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
    assert observer.admitted == ["toy"] * 3
    assert observer.refused == [("toy", RequestTooLarge)]
    assert vars(other) == vars(observer)


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
