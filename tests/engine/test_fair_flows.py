"""One key's many jobs slow another key's one job by its share of the device, and no more."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from primase_server.engine.generation_scheduler import GenerationScheduler
from primase_server.engine.one_shot import OneShotScheduler
from primase_server.errors import QueueFull
from tests.engine import generation_toys
from tests.engine.generation_toys import Reader, ToyModel
from tests.engine.toys import ROOMY, EchoRunner, ToyItem, single, submit, toy_job, turn

BUDGET = 100
ROWS = 4


@settings(deadline=None, max_examples=50)
@given(
    num_jobs=st.integers(1, 100),
    lengths_of_many=st.lists(st.integers(1, BUDGET), min_size=1, max_size=8),
    lengths=st.lists(st.integers(1, BUDGET), min_size=1, max_size=12),
    num_steps_before=st.integers(0, 5),
)
def test_encoding(
    num_jobs: int, lengths_of_many: list[int], lengths: list[int], num_steps_before: int
) -> None:
    """By the batcher's bound, for two flows: tokens of the one and twice those of a pass of each
    of the other's jobs that was waiting already."""
    runner = EchoRunner()
    limits = replace(ROOMY, max_batch_tokens=BUDGET, max_queued_tokens=10**8)
    scheduler = OneShotScheduler(runner, limits)
    for index in range(num_jobs):
        items = [ToyItem("many", (length,)) for length in lengths_of_many * 20]
        submit(scheduler, toy_job(*items, flow="many", request_id=str(index)))
    for _ in range(num_steps_before):
        turn(scheduler)
    first = len(runner.batches)
    alone = submit(scheduler, toy_job(*(ToyItem("one", (n,)) for n in lengths), flow="one"))
    while not alone.has_ended:
        assert turn(scheduler)
    passes = [payload for batch in runner.batches[first:] for payload in batch]
    num_others = sum(payload.num_tokens for payload in passes if payload.name == "many")
    # Passes in front of each pass of the one: those of equal time, and what fills its step.
    assert num_others <= 2 * sum(lengths) + (len(lengths) + 3) * BUDGET


def test_being_let_in() -> None:
    """A key that has filled what may wait is told to come back; another's job is next but one."""
    limits = replace(ROOMY, max_batch_tokens=10, max_queue_s=2.0)
    scheduler = OneShotScheduler(EchoRunner(), limits)
    submit(scheduler, single("first", 10))
    assert turn(scheduler)
    for _ in range(32):
        submit(scheduler, single("many", 10, flow="many"))
    with pytest.raises(QueueFull):
        submit(scheduler, single("many", 10, flow="many"))
    one = submit(scheduler, single("one", 10, flow="one"))
    assert turn(scheduler)
    assert turn(scheduler)
    assert one.has_ended


@settings(deadline=None, max_examples=30)
@given(num_jobs=st.integers(1, 40), num_new=st.integers(1, 20), num_steps_before=st.integers(0, 5))
def test_drawing(num_jobs: int, num_new: int, num_steps_before: int) -> None:
    """A key with one sample draws in nearly every step, however many wait for the other's rows."""
    model = ToyModel()
    limits = replace(ROOMY, max_batch_tokens=1000, max_rows=ROWS)
    scheduler = GenerationScheduler(model, limits)
    for index in range(num_jobs):
        work = generation_toys.job((1, 2), max_new_tokens=60, flow="many", seed=index)
        generation_toys.submit(scheduler, work)
    for _ in range(num_steps_before):
        generation_toys.turn(scheduler)
    alone: Reader = generation_toys.submit(
        scheduler, generation_toys.job((3,), max_new_tokens=num_new, flow="one")
    )
    num_steps = 0
    while not alone.has_ended:
        assert generation_toys.turn(scheduler)
        num_steps += 1
    assert num_steps <= 2 * num_new + 3


def test_a_key_has_one_share_whatever_its_number_of_models_calls() -> None:
    runner = EchoRunner()
    scheduler = OneShotScheduler(runner, replace(ROOMY, max_batch_tokens=10))
    for index in range(100):
        submit(scheduler, toy_job(*[ToyItem("many", (10,))] * 4, flow="lab", request_id=str(index)))
    alone = submit(scheduler, toy_job(*[ToyItem("one", (10,))] * 10, flow="other"))
    while not alone.has_ended:
        turn(scheduler)
    names = [payload.name for batch in runner.batches for payload in batch]
    assert names.count("one") == 10
    assert names.count("many") <= 12
