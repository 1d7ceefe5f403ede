"""The batcher's promises, one step after another and without a thread."""

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from primase_server.engine.job import Job
from primase_server.engine.one_shot import OneShotScheduler
from primase_server.errors import QueueFull
from tests.engine.toys import (
    ROOMY,
    EchoRunner,
    Inbox,
    Payload,
    ToyItem,
    single,
    submit,
    toy_job,
    turn,
)

BUDGET = ROOMY.max_batch_tokens


def run_all(*jobs: Job) -> EchoRunner:
    runner = EchoRunner()
    scheduler = OneShotScheduler(runner, ROOMY)
    for job in jobs:
        submit(scheduler, job)
    while turn(scheduler):
        pass
    return runner


def test_jobs_share_a_step_up_to_the_token_budget() -> None:
    runner = run_all(single("a", 50), single("b", 50), single("c", 50))
    assert runner.names == [["a", "b"], ["c"]]


def test_a_step_keeps_the_byte_budget_too() -> None:
    runner = EchoRunner()
    scheduler = OneShotScheduler(runner, replace(ROOMY, max_batch_bytes=10))
    for name in "abc":
        submit(scheduler, toy_job(ToyItem(name, (1,), pass_bytes=5)))
    while turn(scheduler):
        pass
    assert runner.names == [["a", "b"], ["c"]]


def test_short_and_long_work_run_apart_and_neither_waits_for_good() -> None:
    runner = run_all(
        *(single(f"short {n}", 5) for n in range(3)),
        single("long", 80),
        single("middle", 10),
    )
    assert runner.names == [["short 0", "short 1", "short 2", "middle"], ["long"]]
    runner = run_all(single("c1", 80, flow="c"), single("c2", 5, flow="c"), single("d", 90))
    assert runner.names == [["c2"], ["d"], ["c1"]] or runner.names == [["c2"], ["c1"], ["d"]]


def test_what_does_not_fit_is_passed_over_and_is_first_next_time() -> None:
    runner = run_all(
        single("c1", 10, flow="c"),
        single("a", 30),
        single("b", 80),
        single("c2", 45, flow="c"),  # finishes at 90, behind b, and fits where b does not
        single("d", 95),
    )
    assert runner.names == [["c1", "a", "c2"], ["b"], ["d"]]


def test_a_short_pass_comes_before_long_ones_that_wait() -> None:
    runner = EchoRunner()
    scheduler = OneShotScheduler(runner, ROOMY)
    for index in range(100):
        submit(scheduler, single(f"long {index}", 80))
    for _ in range(3):
        turn(scheduler)
    submit(scheduler, single("short", 5))
    turn(scheduler)
    assert runner.names[3][0] == "short"


def test_a_short_pass_comes_before_long_ones_of_its_own_flow() -> None:
    runner = EchoRunner()
    scheduler = OneShotScheduler(runner, ROOMY)
    for index in range(100):
        submit(scheduler, single(f"long {index}", BUDGET, flow="lab"))
    submit(scheduler, single("short", 2, flow="lab"))
    for _ in range(4):
        turn(scheduler)
    assert ["short" in step for step in runner.names] == [False, False, True, False]


def test_passes_of_one_job_share_a_step_in_their_order() -> None:
    runner = run_all(toy_job(ToyItem("a", (40, 40, 40)), ToyItem("b", (30,))))
    order = [(p.name, p.index) for batch in runner.batches for p in batch]
    assert order == [("a", 0), ("a", 1), ("a", 2), ("b", 0)]
    assert runner.names == [["a", "a"], ["a", "b"]]


@pytest.mark.parametrize("num_jobs", [1, 5, 40])
def test_flows_get_equal_shares_whatever_their_number_of_jobs(num_jobs: int) -> None:
    runner = EchoRunner()
    scheduler = OneShotScheduler(runner, ROOMY)
    submit(scheduler, toy_job(*(ToyItem("one", (10,)) for _ in range(400)), flow="one"))
    for _ in range(num_jobs):
        items = (ToyItem("many", (10,)) for _ in range(400 // num_jobs))
        submit(scheduler, toy_job(*items, flow="many"))
    for _ in range(40):
        turn(scheduler)
    shares = Counter(name for names in runner.names for name in names)
    assert abs(shares["one"] - shares["many"]) <= 20  # of 400: two steps


def test_flows_get_equal_shares_of_tokens_and_not_of_passes() -> None:
    runner = EchoRunner()
    scheduler = OneShotScheduler(runner, ROOMY)
    submit(scheduler, toy_job(*(ToyItem("short", (5,)) for _ in range(1000))))
    submit(scheduler, toy_job(*(ToyItem("long", (50,)) for _ in range(100))))
    for _ in range(20):
        turn(scheduler)
    num_tokens = Counter[str]()
    for payload in chain.from_iterable(runner.batches):
        num_tokens[payload.name] += payload.num_tokens
    assert abs(num_tokens["short"] - num_tokens["long"]) <= 100  # of 1000: a step


def test_a_job_pays_at_most_one_step_for_room_nobody_else_could_use() -> None:
    runner = EchoRunner()
    scheduler = OneShotScheduler(runner, ROOMY)
    submit(scheduler, toy_job(*(ToyItem("small", (10,)) for _ in range(2000))))
    big = [
        submit(scheduler, toy_job(*(ToyItem("big", (70,)) for _ in range(50)))) for _ in range(9)
    ]
    for _ in range(300):  # each with room for three small ones beside a big one
        turn(scheduler)
    for inbox in big:
        scheduler.forget(inbox)
    for _ in range(9):
        submit(scheduler, toy_job(*(ToyItem("full", (100,)) for _ in range(50))))
    runner.batches.clear()
    for _ in range(12):  # a step is worth 10 of virtual time among ten flows
        turn(scheduler)
    assert any(names[0] == "small" for names in runner.names)


def test_a_job_whose_item_failed_waits_where_its_next_item_belongs() -> None:
    class Faulty(EchoRunner):
        def answer(self, payload: Payload) -> object:
            if payload.name == "bad":
                raise ValueError("bad")
            return super().answer(payload)

    runner = Faulty()
    scheduler = OneShotScheduler(runner, ROOMY)
    submit(scheduler, toy_job(ToyItem("bad", (99, 2)), ToyItem("long", (90,))))
    turn(scheduler)
    submit(scheduler, single("other", 50))
    turn(scheduler)
    assert runner.names == [["bad"], ["other"]]


@dataclass
class Waiting:
    """Jobs of single passes by name, as a test may count them from outside."""

    flows: dict[str, str] = field(default_factory=dict)
    most_flows: int = 0
    most_jobs: int = 0

    def join(self, name: str, flow: str) -> None:
        self.flows[name] = flow or name
        self.most_flows = max(self.most_flows, len(set(self.flows.values())))
        self.most_jobs = max(self.most_jobs, len(self.flows))


lengths = st.integers(1, BUDGET)
arrivals = st.lists(st.tuples(lengths, st.sampled_from(["", "", "x", "y"])), max_size=6)


@given(
    before=arrivals,
    num_tokens=lengths,
    flow=st.sampled_from(["", "x"]),
    after=st.lists(arrivals, min_size=1, max_size=8),
)
def test_nobody_starves(
    before: list[tuple[int, str]],
    num_tokens: int,
    flow: str,
    after: list[list[tuple[int, str]]],
) -> None:
    runner = EchoRunner()
    scheduler = OneShotScheduler(runner, replace(ROOMY, max_queued_tokens=1000))
    waiting = Waiting()

    def join(name: str, length: int, of_flow: str) -> None:
        with suppress(QueueFull):
            submit(scheduler, single(name, length, of_flow))
            waiting.join(name, of_flow)

    for index, (length, of_flow) in enumerate(before):
        join(f"before {index}", length, of_flow)
    join("victim", num_tokens, flow)
    num_in_flow = sum(of == waiting.flows["victim"] for of in waiting.flows.values())
    num_served, step = 0, 0
    while "victim" in waiting.flows:
        for index, (length, of_flow) in enumerate(after[step % len(after)]):  # for ever
            join(f"after {step} {index}", length, of_flow)
        assert turn(scheduler)
        for payload in runner.batches[-1]:
            del waiting.flows[payload.name]
            num_served += payload.num_tokens
        step += 1
    bound = waiting.most_flows * (BUDGET + num_tokens * num_in_flow) + waiting.most_jobs * BUDGET
    assert num_served - num_tokens <= bound


def test_a_full_length_pass_outlives_a_flood_of_short_ones() -> None:
    runner = EchoRunner()
    scheduler = OneShotScheduler(runner, ROOMY)
    submit(scheduler, single("full", BUDGET))
    for step in range(12):
        for index in range(10):
            submit(scheduler, single(f"{step} {index}", 10))
        turn(scheduler)
    served = [step for step, names in enumerate(runner.names) if "full" in names]
    assert len(served) == 1
    assert 1 <= served[0] <= 10  # at most its own length of each of the ten flows beside it


def test_expired_jobs_never_start() -> None:
    runner = EchoRunner()
    scheduler = OneShotScheduler(runner, ROOMY)
    submit(scheduler, toy_job(ToyItem("late", (10,)), deadline_s=5.0))
    submit(scheduler, toy_job(ToyItem("timely", (10,)), deadline_s=6.0))
    assert turn(scheduler, now_s=5.5)
    assert runner.names == [["timely"]]
    assert not turn(scheduler, now_s=5.5)


def test_a_job_without_room_for_results_pauses_alone_and_goes_on_when_read() -> None:
    runner = EchoRunner()
    scheduler = OneShotScheduler(runner, replace(ROOMY, max_pending_result_bytes=20))
    slow = submit(scheduler, toy_job(*(ToyItem("slow", (30,), num_bytes=10) for _ in range(5))))
    quick = submit(scheduler, toy_job(*(ToyItem("quick", (30,), num_bytes=10) for _ in range(5))))
    while turn(scheduler):
        quick.read(scheduler)
    assert len(quick.events) == 5
    assert len(slow.unread) == 2
    slow.read(scheduler, most=1)
    assert turn(scheduler)
    assert not turn(scheduler)
    assert len(slow.unread) == 2


def test_a_result_above_the_pending_limit_goes_out_alone() -> None:
    runner = EchoRunner()
    scheduler = OneShotScheduler(runner, replace(ROOMY, max_pending_result_bytes=5))
    reader: Inbox = submit(scheduler, toy_job(*(ToyItem(name, (1,), num_bytes=9) for name in "ab")))
    assert turn(scheduler)
    assert not turn(scheduler)
    reader.read(scheduler)
    assert turn(scheduler)
    assert runner.names == [["a"], ["b"]]


def test_a_step_is_no_longer_than_its_time_allows_but_never_empty() -> None:
    """At 10 tokens a second and 3 seconds a step, 30 tokens share a step; 80 go alone."""
    runner = EchoRunner()
    scheduler = OneShotScheduler(runner, replace(ROOMY, max_step_s=3.0))
    submit(scheduler, single("first", 10))
    batch = scheduler.plan(now_s=0.0)
    assert batch is not None
    batch.run(lambda: None)
    batch.settle(now_s=1.0)
    for name, num_tokens in (("a", 15), ("b", 15), ("c", 20), ("long", 80)):
        submit(scheduler, single(name, num_tokens))
    while batch := scheduler.plan(now_s=1.0):
        batch.run(lambda: None)
        batch.settle(now_s=1.0 + batch.num_tokens / 10)
    assert runner.names == [["first"], ["a", "b"], ["c"], ["long"]]
