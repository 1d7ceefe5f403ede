"""Items whose passes follow each other: order, parts, pauses, and room for their state."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import cycle

from hypothesis import given
from hypothesis import strategies as st

from primase_server.engine.engine import QueueState
from primase_server.engine.events import ItemFailed, ItemFinished, ItemPart
from primase_server.engine.job import Part, Pass
from primase_server.engine.one_shot import OneShotScheduler
from primase_server.errors import SequenceTooLong
from tests.engine.toys import (
    ROOMY,
    EchoRunner,
    Inbox,
    Payload,
    ToyItem,
    ToyPass,
    single,
    submit,
    toy_job,
    turn,
)


@dataclass(frozen=True)
class Chain:
    """Passes of those lengths, one after the other; told piece by piece if `part_bytes`."""

    name: str
    lengths: tuple[int, ...]
    state_bytes: int = 0
    part_bytes: int = 0
    num_bytes: int = 1

    @property
    def num_tokens(self) -> int:
        return sum(self.lengths)

    def passes(self) -> Iterator[Pass]:
        for index, length in enumerate(self.lengths):
            yield ToyPass(Payload(self.name, index, length), length, 1)

    def part(self, output: object) -> Part | None:
        if output == 13:
            raise ValueError("unlucky")
        return Part(output, self.part_bytes) if self.part_bytes else None

    def finish(self, outputs: Sequence[object]) -> object:
        return self.name, tuple(outputs)


def started(*jobs: object, limits: object = ROOMY) -> tuple[EchoRunner, OneShotScheduler]:
    runner = EchoRunner()
    return runner, OneShotScheduler(runner, limits)  # type: ignore[arg-type]


def told(inbox: Inbox) -> list[object]:
    """Parts as they are, ends as the class of the event."""
    return [
        e.value if isinstance(e, ItemPart) else type(e)
        for e in (*inbox.events, *(delivery.event for delivery in inbox.unread))
    ]


def test_one_pass_runs_in_a_step_and_others_share_it() -> None:
    runner, scheduler = started()
    chain = submit(scheduler, toy_job(Chain("chain", (1, 2, 3))))
    submit(scheduler, toy_job(ToyItem("free", (1, 1, 1))))
    while turn(scheduler):
        pass
    lengths = [[p.num_tokens for p in batch if p.name == "chain"] for batch in runner.batches]
    assert lengths == [[1], [2], [3]]
    assert runner.names[0] == ["chain", "free", "free", "free"]
    [end] = [delivery.event for delivery in chain.unread]
    assert isinstance(end, ItemFinished)
    assert end.value == ("chain", (1, 2, 3))


def test_chains_of_one_job_follow_each_other_and_those_of_several_share_steps() -> None:
    runner, scheduler = started()
    submit(scheduler, toy_job(Chain("a", (1, 1)), Chain("b", (1, 1))))
    submit(scheduler, toy_job(Chain("c", (1, 1))))
    while turn(scheduler):
        pass
    assert [sorted(names) for names in runner.names] == [["a", "c"], ["a", "b", "c"], ["b"]]


def test_parts_are_told_as_they_come_and_in_item_order() -> None:
    _, scheduler = started()
    inbox = submit(
        scheduler, toy_job(Chain("a", (1, 2), part_bytes=1), Chain("b", (3,), part_bytes=1))
    )
    turn(scheduler)
    assert told(inbox) == [1]
    while turn(scheduler):
        pass
    assert told(inbox) == [1, 2, ItemFinished, 3, ItemFinished]
    assert [d.event.item_index for d in inbox.unread] == [0, 0, 0, 1, 1]


def test_a_reader_that_does_not_read_parts_pauses_its_own_job_only() -> None:
    runner, scheduler = started(limits=replace(ROOMY, max_pending_result_bytes=10))
    slow = submit(scheduler, toy_job(Chain("slow", (1,) * 8, part_bytes=4)))
    while turn(scheduler):
        pass
    assert told(slow) == [1, 1, 1]
    quick = submit(scheduler, single("quick", 5))
    assert turn(scheduler)
    assert runner.names[-1] == ["quick"]
    quick.read(scheduler)
    while slow.unread:
        slow.read(scheduler, 1)
        turn(scheduler)
    assert told(slow) == [1] * 8 + [ItemFinished]
    assert scheduler.state.queued_bytes == 0


def test_a_part_that_cannot_be_made_fails_the_item_alone() -> None:
    runner, scheduler = started()
    inbox = submit(
        scheduler, toy_job(Chain("a", (1, 13, 1), part_bytes=1), Chain("b", (2,), part_bytes=1))
    )
    while turn(scheduler):
        pass
    assert told(inbox) == [1, ItemFailed, 2, ItemFinished]
    assert [p.num_tokens for batch in runner.batches for p in batch if p.name == "a"] == [1, 13]


def test_state_waits_for_room_and_gives_it_back() -> None:
    runner, scheduler = started(limits=replace(ROOMY, max_state_bytes=10))
    inboxes = [
        submit(scheduler, toy_job(Chain(name, (1, 1), state_bytes=size)))
        for name, size in (("a", 6), ("b", 6), ("c", 4))
    ]
    submit(scheduler, single("stateless", 1))
    turn(scheduler)
    assert sorted(runner.names[0]) == ["a", "c", "stateless"]
    while turn(scheduler):
        pass
    assert [sorted(names) for names in runner.names[1:]] == [["a", "c"], ["b"], ["b"]]
    assert all(inbox.has_ended for inbox in inboxes)


def test_a_job_given_up_frees_its_state_at_once() -> None:
    runner, scheduler = started(limits=replace(ROOMY, max_state_bytes=10))
    first = submit(scheduler, toy_job(Chain("a", (1, 1, 1), state_bytes=10)))
    turn(scheduler)
    submit(scheduler, toy_job(Chain("b", (1,), state_bytes=10)))
    turn(scheduler)
    assert runner.names[-1] == ["a"]
    scheduler.forget(first)
    turn(scheduler)
    assert runner.names[-1] == ["b"]
    assert scheduler.state.queued_tokens == 0


def test_state_that_can_never_have_room_fails_its_item() -> None:
    _, scheduler = started(limits=replace(ROOMY, max_state_bytes=10))
    inbox = submit(scheduler, toy_job(Chain("a", (1,), state_bytes=11), Chain("b", (1,))))
    while turn(scheduler):
        pass
    failed, finished = (delivery.event for delivery in inbox.unread)
    assert isinstance(failed, ItemFailed)
    assert isinstance(failed.error, SequenceTooLong)
    assert isinstance(finished, ItemFinished)


chains = st.builds(
    Chain,
    name=st.just(""),
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=5).map(tuple),
    state_bytes=st.integers(0, 10),
    part_bytes=st.integers(0, 6),
)


@given(
    jobs=st.lists(st.lists(chains, min_size=1, max_size=3), min_size=1, max_size=5),
    given_up=st.sets(st.integers(0, 4), max_size=2),
    reads=st.lists(st.integers(0, 2), max_size=5),
)
def test_any_chains_keep_their_order_and_the_room_and_leave_nothing(
    jobs: list[list[Chain]], given_up: set[int], reads: list[int]
) -> None:
    limits = replace(ROOMY, max_state_bytes=15, max_pending_result_bytes=12)
    runner, scheduler = started(limits=limits)
    named = [
        [replace(chain, name=f"{j}.{i}") for i, chain in enumerate(job)]
        for j, job in enumerate(jobs)
    ]
    inboxes = [submit(scheduler, toy_job(*job)) for job in named]
    given_up &= set(range(len(jobs)))
    for index in given_up:
        turn(scheduler)
        scheduler.forget(inboxes[index])
    ran = len(runner.batches)
    reads_in_turn = cycle([*reads, 1])
    readers = [inbox for index, inbox in enumerate(inboxes) if index not in given_up]
    while turn(scheduler) or any(inbox.unread for inbox in readers):
        running = {payload.name for payload in runner.batches[-1]} if runner.batches else set()
        assert len(running) == len(runner.batches[-1] if runner.batches else ())
        sizes = {chain.name: chain.state_bytes for job in named for chain in job}
        assert sum(sizes[name] for name in running) <= limits.max_state_bytes
        most = next(reads_in_turn)
        for inbox in readers:
            inbox.read(scheduler, most)
    for index, (job, inbox) in enumerate(zip(named, inboxes, strict=True)):
        if index not in given_up:
            inbox.read(scheduler)
            expected = [
                outcome
                for chain in job
                for outcome in (*(chain.lengths if chain.part_bytes else ()), ItemFinished)
            ]
            assert told(inbox) == expected
        scheduler.forget(inbox)
    late = {payload.name for batch in runner.batches[ran:] for payload in batch}
    assert not {name for name in late if int(name.split(".")[0]) in given_up}
    state = scheduler.state
    assert state == QueueState(0, 0, 0, 0, state.tokens_per_s)
