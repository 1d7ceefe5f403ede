"""What the scheduler of one-shot jobs does around a step."""

from collections.abc import Sequence

import pytest

from primase_server.engine.engine import QueueState
from primase_server.engine.one_shot import OneShotScheduler
from primase_server.engine.scheduler import GiveWay
from tests.engine.toys import ROOMY, EchoRunner, ToyItem, single, submit, toy_job, turn, values


def test_a_job_forgotten_during_its_step_tells_nothing_and_owes_nothing() -> None:
    scheduler = OneShotScheduler(EchoRunner(), ROOMY)
    inbox = submit(scheduler, single("a", 10))
    step = scheduler.plan(now_s=0.0)
    assert step is not None
    assert scheduler.state == QueueState(0, 1, 1, 10, 0.0)
    scheduler.forget(inbox)
    assert scheduler.state == QueueState(0, 0, 0, 10, 0.0)
    step.run(lambda: None)
    assert step.settle(now_s=2.0) == []
    assert scheduler.state == QueueState(0, 0, 0, 0, tokens_per_s=5.0)


def test_a_failed_batch_does_not_run_again_for_those_who_left() -> None:
    class Leaving(EchoRunner):
        def run(self, payloads: Sequence[object], give_way: GiveWay) -> Sequence[object]:
            outputs = super().run(payloads, give_way)
            scheduler.forget(left)
            if len(payloads) > 1:
                raise ValueError("too many")
            return outputs

    runner = Leaving()
    scheduler = OneShotScheduler(runner, ROOMY)
    stayed = submit(scheduler, single("stayed", 10))
    left = submit(scheduler, single("left", 10))
    turn(scheduler)
    assert runner.names == [["stayed", "left"], ["stayed"]]
    assert values(stayed.read(scheduler)) == [("stayed", (10,))]


def test_timings_count_the_queue_the_steps_and_the_whole() -> None:
    scheduler = OneShotScheduler(EchoRunner(), ROOMY)
    inbox = submit(scheduler, toy_job(ToyItem("a", (60, 60))), now_s=1.0)
    turn(scheduler, now_s=3.0, elapsed_s=0.5)
    turn(scheduler, now_s=10.0, elapsed_s=0.25)
    (event,) = inbox.read(scheduler)
    timings = event.timings  # type: ignore[union-attr]
    assert timings.queue_s == pytest.approx(2.0)
    assert timings.compute_s == pytest.approx(0.75)
    assert timings.total_s == pytest.approx(9.25)
    assert timings.num_steps == 2
