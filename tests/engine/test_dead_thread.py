"""The thread of a device, when it dies of something that no runner should raise."""

import asyncio
from collections.abc import Sequence

import pytest

from primase_server.engine.observer import SilentObserver
from primase_server.engine.scheduler import GiveWay
from primase_server.errors import ModelNotReady
from tests.engine.live import EMPTY, books, serving
from tests.engine.toys import ROOMY, EchoRunner, Payload, read_all, single, toy_job, values
from tests.engine.toys import ToyItem as Item


class Deadly(EchoRunner):
    def answer(self, payload: Payload) -> object:
        if payload.name == "deadly":
            raise SystemExit
        return super().answer(payload)


class Watching(SilentObserver):
    def __init__(self) -> None:
        self.ended: asyncio.Queue[Sequence[str]] = asyncio.Queue()

    def device_ended(self, models: Sequence[str]) -> None:
        self.ended.put_nowait(models)


@pytest.mark.parametrize("gives_way", [False, True])
def test_its_jobs_end_and_its_models_can_be_served_again(gives_way: bool) -> None:
    class GivingWay(EchoRunner):
        def run(self, payloads: Sequence[object], give_way: GiveWay) -> Sequence[object]:
            outputs = super().run(payloads, give_way)
            if gives_way:
                give_way()
            return outputs

    async def run() -> None:
        observer = Watching()
        async with serving(Deadly(), observer=observer) as engine:
            engine.add_model("other", GivingWay(), ROOMY)
            engine.add_model("elsewhere", EchoRunner(), ROOMY, device="second")
            tickets = [
                engine.submit(toy_job(Item("x", (100,)), model="other")),
                engine.submit(toy_job(Item("y", (100,)), model="other")),
                engine.submit(single("deadly", 1)),
                engine.submit(single("z", 100)),
            ]
            ends = await asyncio.gather(*map(read_all, tickets), return_exceptions=True)
            assert await observer.ended.get() == ["toy", "other"]
            for end in ends[2:]:
                assert isinstance(end, ModelNotReady)
                assert end.retry_after_s == 2.0
            with pytest.raises(ModelNotReady, match="started again"):
                engine.submit(single("a", 1))
            elsewhere = engine.submit(toy_job(Item("b", (1,)), model="elsewhere"))
            assert values(await read_all(elsewhere)) == [("b", (1,))]

            engine.add_model("toy", Deadly(), ROOMY)
            assert books(engine) == EMPTY
            assert values(await read_all(engine.submit(single("c", 1)))) == [("c", (1,))]

    asyncio.run(run())
