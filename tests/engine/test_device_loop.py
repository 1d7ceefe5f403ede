"""The thread of a device, when a scheduler itself is at fault."""

import asyncio
from dataclasses import replace

import pytest

from primase_server.engine.engine import Pace, QueueState
from primase_server.engine.generation import GenerationJob
from primase_server.engine.local import LocalEngine
from primase_server.engine.scheduler import Delivery, GiveWay, Recipient, ShortStep
from primase_server.errors import InternalError, ModelNotReady
from tests.engine.toys import ROOMY, EchoRunner, ToyItem, read_all, toy_job, values


class BrokenStep:
    num_tokens = 1
    batch_size = 1
    pace = Pace()

    def run(self, give_way: GiveWay) -> None:
        raise ArithmeticError("run")

    def settle(self, now_s: float) -> list[Delivery]:
        raise AssertionError("never reached")


class BrokenScheduler:
    """Raises when it plans, or hands out steps that raise."""

    state = QueueState(0, 0, 0, 0, 0.0)

    def __init__(self, raises_in_plan: bool) -> None:
        self._raises_in_plan = raises_in_plan
        self._has_work = False

    def add(self, job: GenerationJob, recipient: Recipient, now_s: float) -> list[Delivery]:
        self._has_work = True
        return []

    def plan(self, now_s: float, short: ShortStep | None = None) -> BrokenStep | None:
        if self._has_work and self._raises_in_plan:
            raise ArithmeticError("plan")
        return BrokenStep() if self._has_work else None

    def read(self, recipient: Recipient, num_bytes: int) -> None: ...

    def heartbeat(self, recipient: Recipient) -> None: ...

    def forget(self, recipient: Recipient) -> None: ...


@pytest.mark.parametrize("raises_in_plan", [True, False])
def test_a_broken_scheduler_loses_its_model_and_no_other(raises_in_plan: bool) -> None:
    async def run() -> None:
        engine = LocalEngine()
        broken = BrokenScheduler(raises_in_plan)
        engine.add_model("broken", EchoRunner(), ROOMY, generation=broken)
        engine.add_model("toy", EchoRunner(), ROOMY)
        job = GenerationJob("broken", "request", prompts=[(1,)], max_new_tokens=1)
        with pytest.raises(InternalError):
            await read_all(engine.submit(job))
        with pytest.raises(ModelNotReady):
            engine.submit(replace(job, request_id="again"))
        toy = engine.submit(toy_job(ToyItem("a", (1,))))
        assert values(await read_all(toy)) == [("a", (1,))]
        await engine.close()

    asyncio.run(run())
