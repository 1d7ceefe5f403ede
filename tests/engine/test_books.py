"""The books of one model over any life of its jobs: budgets, charges, order, each pass once."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from primase_server.engine.engine import QueueState
from primase_server.engine.events import ItemFailed
from primase_server.engine.one_shot import OneShotScheduler
from primase_server.engine.scheduler import GiveWay
from primase_server.errors import InternalError, QueueFull, SequenceTooLong
from tests.engine.toys import ROOMY, EchoRunner, Inbox, Payload, ToyItem, indices, toy_job, turn

LIMITS = replace(
    ROOMY,
    max_queued_tokens=2000,
    max_queued_bytes=300,
    max_batch_tokens=100,
    max_batch_bytes=40,
    max_pending_result_bytes=25,
)


class FaultyRunner(EchoRunner):
    """Fails any batch with a pass of 13 tokens in it."""

    def run(self, payloads: Sequence[object], give_way: GiveWay) -> Sequence[object]:
        outputs = super().run(payloads, give_way)
        if any(payload.num_tokens == 13 for payload in self.batches[-1]):
            raise ValueError("unlucky")
        return outputs


@dataclass
class Known:
    """One job as the test knows it from outside."""

    items: list[ToyItem]
    inbox: Inbox = field(default_factory=Inbox)


items = st.builds(
    ToyItem,
    name=st.just(""),
    lengths=st.lists(st.one_of(st.integers(1, 60), st.just(13), st.just(101)), max_size=4).map(
        tuple
    ),
    num_bytes=st.integers(0, 30),
    pass_bytes=st.integers(0, 40),
)


class Books(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = FaultyRunner()
        self.scheduler = OneShotScheduler(self.runner, LIMITS)
        self.jobs: list[Known] = []
        self.num_named = 0
        self.cancelled: set[str] = set()

    @rule(items=st.lists(items, min_size=1, max_size=4), flow=st.sampled_from(["", "x", "y"]))
    def add(self, items: list[ToyItem], flow: str) -> None:
        named = [replace(item, name=f"{self.num_named}.{i}") for i, item in enumerate(items)]
        self.num_named += 1
        job = Known(named)
        before = self.scheduler.state
        try:
            deliveries = self.scheduler.add(toy_job(*named, flow=flow), job.inbox, now_s=0.0)
        except QueueFull:
            num_tokens = sum(item.num_tokens for item in named)
            num_bytes = sum(item.num_bytes for item in named)
            assert (
                before.queued_tokens + num_tokens > LIMITS.max_queued_tokens
                or before.queued_bytes + num_bytes > LIMITS.max_queued_bytes
            )
            assert self.scheduler.state == before
            return
        self.jobs.append(job)
        for delivery in deliveries:
            job.inbox.deliver(delivery)

    @rule()
    def step(self) -> None:
        first_new = len(self.runner.batches)
        turn(self.scheduler)
        for batch in self.runner.batches[first_new : first_new + 1]:
            assert sum(payload.num_tokens for payload in batch) <= LIMITS.max_batch_tokens
            assert sum(payload.num_bytes for payload in batch) <= LIMITS.max_batch_bytes
            assert not {payload.name for payload in batch} & self.cancelled

    @precondition(lambda self: self.jobs)
    @rule(data=st.data(), most=st.integers(1, 3))
    def read(self, data: st.DataObject, most: int) -> None:
        data.draw(st.sampled_from(self.jobs)).inbox.read(self.scheduler, most)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self.jobs))
        before = self.scheduler.state
        others = [other for other in self.jobs if other is not job]
        self.scheduler.forget(job.inbox)
        self.scheduler.forget(job.inbox)
        self.jobs = others
        self.cancelled |= {item.name for item in job.items}
        after = self.scheduler.state
        assert after.queued_tokens == before.queued_tokens - self.queued_tokens([job])
        assert after.queued_bytes == before.queued_bytes - self.queued_bytes([job])

    @invariant()
    def charges_are_exact(self) -> None:
        state = self.scheduler.state
        assert state.queued_tokens == self.queued_tokens(self.jobs)
        assert state.queued_bytes == self.queued_bytes(self.jobs)
        assert state.running_tokens == 0

    @invariant()
    def results_are_in_item_order(self) -> None:
        for job in self.jobs:
            told = [*job.inbox.events, *(delivery.event for delivery in job.inbox.unread)]
            assert indices(told) == list(range(len(told)))

    @invariant()
    def unread_results_are_bounded(self) -> None:
        for job in self.jobs:
            held = [delivery.num_bytes for delivery in job.inbox.unread]
            assert sum(held) <= max(LIMITS.max_pending_result_bytes, *held, 0)

    def teardown(self) -> None:
        while turn(self.scheduler) or any(job.inbox.unread for job in self.jobs):
            for job in self.jobs:
                job.inbox.read(self.scheduler)
        for job in self.jobs:
            self.check_outcomes(job)
            self.scheduler.forget(job.inbox)
        self.check_each_pass_ran_once()
        state = self.scheduler.state
        assert state == QueueState(0, 0, 0, 0, state.tokens_per_s)

    def check_outcomes(self, job: Known) -> None:
        assert len(job.inbox.events) == len(job.items)
        for item, event in zip(job.items, job.inbox.events, strict=True):
            bad = [length for length in item.lengths if length in (13, 101)]
            if not bad:
                assert not isinstance(event, ItemFailed)
                assert event.value == (item.name, item.lengths)  # type: ignore[union-attr]
            else:
                assert isinstance(event, ItemFailed)
                assert type(event.error) in (InternalError, SequenceTooLong)

    def check_each_pass_ran_once(self) -> None:
        """But for those of a failed batch, which ran again alone."""
        ran: dict[Payload, int] = {}
        for batch in self.runner.batches:
            if len(batch) == 1 or all(payload.num_tokens != 13 for payload in batch):
                for payload in batch:
                    ran[payload] = ran.get(payload, 0) + 1
        assert set(ran.values()) <= {1}

    def queued_tokens(self, jobs: list[Known]) -> int:
        return sum(
            payload.num_tokens
            for job in jobs
            for item in job.items[self.num_over(job) :]
            for payload in payloads_of(item)
            if payload not in self.started
        )

    def queued_bytes(self, jobs: list[Known]) -> int:
        return sum(self.held_bytes(job, index) for job in jobs for index in range(len(job.items)))

    def held_bytes(self, job: Known, index: int) -> int:
        if index < len(job.inbox.events):
            return 0
        has_started = any(payload in self.started for payload in payloads_of(job.items[index]))
        is_over = index < self.num_over(job)
        return job.items[index].num_bytes if has_started or not is_over else 0

    def num_over(self, job: Known) -> int:
        """Items that can have no more passes: all up to the first that still waits for a step."""
        for index, item in enumerate(job.items):
            for payload in payloads_of(item):
                if payload.num_tokens > LIMITS.max_batch_tokens:
                    break
                if payload not in self.started:
                    return index
                if payload.num_tokens == 13:
                    break
        return len(job.items)

    @property
    def started(self) -> set[Payload]:
        return {payload for batch in self.runner.batches for payload in batch}


def payloads_of(item: ToyItem) -> list[Payload]:
    return [
        Payload(item.name, index, length, item.pass_bytes)
        for index, length in enumerate(item.lengths)
    ]


TestBooks = Books.TestCase
TestBooks.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
