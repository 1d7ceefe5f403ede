"""Work on finished samples runs beside the others, is never refused, and goes with its job."""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from primase_server.engine.engine import QueueState
from primase_server.engine.events import Failed, Finished, Tokens
from primase_server.engine.following import FollowingScheduler
from primase_server.engine.generation import GenerationJob
from primase_server.engine.generation_scheduler import GenerationScheduler
from primase_server.engine.local import LocalEngine
from primase_server.engine.one_shot import OneShotScheduler
from primase_server.errors import InternalError, InvalidSequence, QueueFull, RequestTooLarge
from tests.engine.generation_toys import BROKEN, Reader, ToyModel, greedy, job
from tests.engine.generation_toys import turn as draw
from tests.engine.test_generation_scheduler import LIMITS
from tests.engine.toys import WAIT_S, EchoRunner, GatedRunner, Payload, ToyItem, read_all, single
from tests.engine.toys import submit as submit_one_shot
from tests.engine.toys import turn as turn_one_shot

BAD = InvalidSequence.at("prompt", "is bad")
EMPTY = QueueState(0, 0, 0, 0, 0.0)


@dataclass
class Counted:
    """Reads every sample again; those of `nothing` are left alone, those of `fatal` raise."""

    most: int = 10
    nothing: tuple[int, ...] = ()
    fatal: tuple[int, ...] = ()
    asked: list[tuple[int, Sequence[int]]] = field(default_factory=list)

    def largest(self, item_index: int) -> ToyItem:
        return ToyItem("largest", (self.most,), num_bytes=5)

    def item(self, item_index: int, new_ids: Sequence[int]) -> ToyItem | None:
        self.asked.append((item_index, tuple(new_ids)))
        if item_index in self.fatal:
            raise ValueError("no")
        if item_index in self.nothing:
            return None
        return ToyItem(str(item_index), (len(new_ids),), num_bytes=3)


class Models:
    """Both schedulers of one model, driven by hand."""

    def __init__(self, **changes: int) -> None:
        limits = replace(LIMITS, **changes)
        self.generation = GenerationScheduler(ToyModel(), limits)
        self.runner = EchoRunner()
        self.one_shot = OneShotScheduler(self.runner, limits)
        lock = contextlib.nullcontext
        self.following = FollowingScheduler(self.generation, self.one_shot, lock)

    def submit(self, work: GenerationJob) -> Reader:
        reader = Reader()
        for delivery in self.following.add(work, reader, 0.0):
            assert delivery.recipient is reader
            reader.deliver(delivery)
        return reader

    def read(self, reader: Reader) -> None:
        taken, reader.unread = reader.unread, []
        for delivery in taken:
            self.following.read(reader, delivery.num_bytes)

    def draw_all(self, *readers: Reader) -> None:
        while draw(self.generation):
            for reader in readers:
                self.read(reader)

    @property
    def states(self) -> list[QueueState]:
        both = self.generation.state, self.one_shot.state
        return [replace(state, tokens_per_s=0.0) for state in both]


def follow(
    *prompts: tuple[int, ...], work: Counted | None = None, **settings: object
) -> GenerationJob:
    return replace(job(*prompts), follow_up=work or Counted(), **settings)  # type: ignore[arg-type]


def test_an_end_waits_for_its_own_work_alone() -> None:
    models, work = Models(), Counted()
    drawn = greedy((1, 2), 8)
    reader = models.submit(
        follow((1, 2), (5,), work=work, max_new_tokens=8, terminals=frozenset({drawn[2]}))
    )
    while not work.asked:
        draw(models.generation)
    assert work.asked == [(0, drawn[:2])]
    assert isinstance(reader.end(0), Tokens)
    draw(models.generation)
    assert isinstance(reader.end(0), Tokens)
    assert turn_one_shot(models.one_shot)
    end = reader.end(0)
    assert isinstance(end, Finished)
    assert end.follow_up == ("0", (2,))
    assert end.timings.compute_s > 0
    models.draw_all(reader)  # the other still ran
    assert isinstance(reader.end(1), Tokens)
    turn_one_shot(models.one_shot)
    assert isinstance(reader.end(1), Finished)
    assert reader.has_ended
    assert reader.drawn(1) == greedy((5,), 6)
    models.read(reader)
    models.following.forget(reader)
    assert models.states == [EMPTY, EMPTY]


def test_samples_that_end_together_are_worked_on_in_one_batch() -> None:
    models = Models()
    reader = models.submit(follow((1, 2), (5,), num_samples=2, max_new_tokens=3))
    models.draw_all(reader)
    assert turn_one_shot(models.one_shot)
    assert not turn_one_shot(models.one_shot)
    assert sorted(models.runner.names[0]) == ["0", "0", "1", "1"]
    assert reader.has_ended


def test_what_was_accepted_is_not_refused_later() -> None:
    models = Models(max_queued_tokens=100)
    reader = models.submit(follow((1, 2), (5,), work=Counted(most=45), max_new_tokens=3))
    with pytest.raises(QueueFull):
        submit_one_shot(models.one_shot, single("other", 11))
    submit_one_shot(models.one_shot, single("small", 10))
    models.draw_all(reader)
    # what the samples do not need is free again
    assert models.one_shot.state.queued_tokens == 10 + 2 * 3
    while turn_one_shot(models.one_shot):
        pass
    assert reader.has_ended
    assert isinstance(reader.end(1), Finished)


@pytest.mark.parametrize(("most", "error"), [(101, RequestTooLarge), (95, QueueFull)])
def test_a_generation_whose_work_has_no_room_is_refused_as_a_whole(
    most: int, error: type[Exception]
) -> None:
    models = Models(max_queued_tokens=100)
    other = submit_one_shot(models.one_shot, single("other", 10))
    with pytest.raises(error):
        models.submit(follow((1,), work=Counted(most=most)))
    models.one_shot.forget(other)
    assert models.states == [EMPTY, EMPTY]


def test_nothing_stays_reserved_for_a_generation_that_is_refused() -> None:
    models = Models(max_queued_tokens=100)
    with pytest.raises(RequestTooLarge):
        models.submit(follow((1,), max_new_tokens=101))
    assert models.states == [EMPTY, EMPTY]


def test_who_gives_up_gives_the_work_up_too() -> None:
    models = Models()
    reader = models.submit(follow((1, 2), (5,), max_new_tokens=3))
    models.draw_all()
    models.following.forget(reader)
    assert not turn_one_shot(models.one_shot)
    assert models.states == [EMPTY, EMPTY]


def test_work_that_runs_when_its_job_is_given_up_is_dropped() -> None:
    models = Models()
    reader = models.submit(follow((1, 2), max_new_tokens=3))
    models.draw_all()
    step = models.one_shot.plan(0.0)
    assert step is not None
    step.run(lambda: None)
    told = step.settle(1.0)
    models.following.forget(reader)
    for delivery in told:
        delivery.recipient.deliver(delivery)
    assert not isinstance(reader.end(), Finished)
    assert models.states == [EMPTY, EMPTY]


def test_a_sample_whose_work_fails_fails_alone() -> None:
    models = Models(max_batch_tokens=5)
    work = Counted(nothing=(2,), fatal=(0,))
    reader = models.submit(follow((1,), (5,), (6,), work=work, max_new_tokens=6))
    models.draw_all(reader)
    while turn_one_shot(models.one_shot):
        pass
    ends = [reader.end(index) for index in range(3)]
    assert isinstance(ends[0], Failed)
    assert isinstance(ends[0].error, InternalError)
    assert isinstance(ends[1], Failed)  # 6 tokens fit no step of 5
    assert isinstance(ends[2], Finished)
    assert ends[2].follow_up is None
    assert reader.has_ended
    models.read(reader)
    models.following.forget(reader)
    assert models.states == [EMPTY, EMPTY]


def test_prompts_that_fail_have_no_work() -> None:
    models = Models()
    work = replace(follow((1,), (2,)), prompts=(BAD, (1, BROKEN), BAD), num_samples=2)
    reader = models.submit(work)
    models.draw_all(reader)
    assert reader.has_ended
    assert not turn_one_shot(models.one_shot)
    models.read(reader)
    models.following.forget(reader)
    assert models.states == [EMPTY, EMPTY]
    all_bad = models.submit(replace(work, prompts=(BAD,)))
    assert all_bad.has_ended


def test_a_heartbeat_tells_of_an_end_that_waits() -> None:
    models = Models()
    reader = models.submit(follow((1, 2), max_new_tokens=3))
    assert models.following.heartbeat(reader) is not None
    models.draw_all(reader)
    told = models.following.heartbeat(reader)
    assert told is not None
    assert (told.item_index, told.queue_position, told.num_prefilled_tokens) == (0, 0, 2)
    turn_one_shot(models.one_shot)
    assert models.following.heartbeat(reader) is None
    plain = models.submit(job((1,)))
    assert models.following.heartbeat(plain) is not None


def test_in_an_engine_with_its_threads() -> None:
    class Slow(GatedRunner):
        """Answers with what is named."""

        def answer(self, payload: Payload) -> object:
            return payload.name

    async def run() -> None:
        engine, runner = LocalEngine(), Slow()
        generation = GenerationScheduler(ToyModel(), LIMITS)
        engine.add_model("toy", runner, LIMITS, generation=generation)
        left = engine.submit(follow((1,), num_samples=3))
        kept = engine.submit(follow((2,), (3,), max_new_tokens=4))
        await asyncio.to_thread(runner.wait_entered)
        left.cancel()
        runner.let(100)
        async with asyncio.timeout(WAIT_S):
            events = await read_all(kept)
        ends = [event for event in events if isinstance(event, Finished)]
        assert sorted(str(end.follow_up) for end in ends) == ["('0', ('0',))", "('1', ('1',))"]
        await engine.drain(WAIT_S)
        assert replace(engine.queue_state("toy"), tokens_per_s=0.0) == EMPTY
        await engine.close()

    asyncio.run(run())
