"""Short work while a long step is on the device: what may run, how much, and in what order."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from threading import Event

import pytest

from primase_server.engine.device_loop import Courtesy
from primase_server.engine.local import LocalEngine
from primase_server.engine.one_shot import OneShotScheduler
from primase_server.engine.scheduler import GiveWay, ShortStep
from tests.engine.toys import (
    ROOMY,
    WAIT_S,
    EchoRunner,
    Payload,
    ToyItem,
    read_all,
    single,
    submit,
    toy_job,
    values,
)


@dataclass
class Courteous(EchoRunner):
    """Gives way once in every batch; in its first, when the test has submitted more."""

    order: list[str] = field(default_factory=list)
    wait_for_others: bool = False
    entered: Event = field(default_factory=Event)
    others_are_in: Event = field(default_factory=Event)

    def run(self, payloads: Sequence[object], give_way: GiveWay) -> Sequence[object]:
        outputs = super().run(payloads, give_way)
        names = [payload.name for payload in payloads if isinstance(payload, Payload)]
        self.order += [f"{name} begins" for name in names]
        self.entered.set()
        assert not self.wait_for_others or self.others_are_in.wait(WAIT_S)
        give_way()
        self.order += [f"{name} ends" for name in names]
        return outputs


def test_a_short_step_takes_only_what_fits_it() -> None:
    scheduler = OneShotScheduler(EchoRunner(), ROOMY)
    submit(scheduler, single("long", 60))
    assert scheduler.plan(0.0, ShortStep(10, 0.1)) is None
    submit(scheduler, single("short", 6))
    submit(scheduler, single("shorter", 5))
    step = scheduler.plan(0.0, ShortStep(10, 0.1))
    assert step is not None
    assert (step.num_tokens, step.batch_size) == (5, 1)
    after = [scheduler.plan(0.0), scheduler.plan(0.0)]
    assert [step and step.num_tokens for step in after] == [6, 60]


def test_time_and_tokens_given_are_bounded() -> None:
    courtesy = Courtesy(num_tokens=80, started_s=0.0)
    assert courtesy.offer(now_s=0.0) == ShortStep(10, 1 / 8)
    courtesy.given_s = 1.0
    assert courtesy.offer(now_s=2.0) is None
    assert courtesy.offer(now_s=3.0) == ShortStep(10, 1 / 8)
    assert Courtesy(num_tokens=7, started_s=0.0).offer(now_s=1.0) is None


@pytest.mark.parametrize("model", ["toy", "other"])
def test_short_work_of_any_model_runs_between_two_parts_of_a_long_step(model: str) -> None:
    runner = Courteous(wait_for_others=True)
    other = Courteous(order=runner.order)

    async def run() -> list[object]:
        engine = LocalEngine()
        engine.add_model("toy", runner, ROOMY)
        engine.add_model("other", other, ROOMY)
        async with asyncio.timeout(WAIT_S):
            long = engine.submit(single("long", 99))
            assert await asyncio.to_thread(runner.entered.wait, WAIT_S)
            late = [
                engine.submit(replace(single(name, length), model=model))
                for name, length in (("too long", 13), ("short", 12))
            ]
            runner.others_are_in.set()
            told = [values(await read_all(ticket)) for ticket in (long, *late)]
        await engine.close()
        return [value for [value] in told]

    assert asyncio.run(run()) == [("long", (99,)), ("too long", (13,)), ("short", (12,))]
    assert runner.order == [
        *("long begins", "short begins", "short ends", "long ends"),
        *("too long begins", "too long ends"),
    ]


def test_the_time_given_is_not_counted_as_the_long_steps_own() -> None:
    runner = Courteous()
    scheduler = OneShotScheduler(runner, ROOMY)
    submit(scheduler, single("long", 100))
    step = scheduler.plan(0.0)
    assert step is not None
    step.run(lambda: None)
    step.given_s = 9.0
    step.settle(10.0)
    assert scheduler.state.tokens_per_s == pytest.approx(100.0)


def test_passes_that_end_out_of_order_are_finished_in_order() -> None:
    runner = Courteous()

    async def run() -> object:
        engine = LocalEngine()
        engine.add_model("toy", runner, ROOMY)
        async with asyncio.timeout(WAIT_S):
            # The first two fill a step, and the third, which is short, runs before they end.
            ticket = engine.submit(toy_job(ToyItem("item", (60, 40, 5))))
            [value] = values(await read_all(ticket))
        await engine.close()
        return value

    assert asyncio.run(run()) == ("item", (60, 40, 5))
    assert [len(batch) for batch in runner.batches] == [2, 1]
    assert runner.order == [
        *("item begins", "item begins", "item begins"),
        *("item ends", "item ends", "item ends"),
    ]
