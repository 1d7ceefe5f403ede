"""Continuous generation on a model that can be followed by hand."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from primase_server.engine.engine import Pace, QueueState
from primase_server.engine.events import Failed, Finished, FinishReason, Started, Tokens
from primase_server.engine.generation import GenerationJob, Sampling, TokenReport
from primase_server.engine.generation_scheduler import MOST_PASSED_OVER, GenerationScheduler
from primase_server.engine.scheduler import ShortStep
from primase_server.errors import InternalError, InvalidRequest, QueueFull, SequenceTooLong
from tests.engine.generation_toys import (
    BROKEN,
    NOT_FINITE,
    Reader,
    ToyModel,
    greedy,
    job,
    run_all,
    submit,
    turn,
)
from tests.engine.toys import ROOMY

LIMITS = replace(ROOMY, max_batch_tokens=12, max_rows=8)
WARM = Sampling(temperature=1.5)


def started(**changes: int) -> tuple[ToyModel, GenerationScheduler]:
    model = ToyModel()
    return model, GenerationScheduler(model, replace(LIMITS, **changes))


def is_idle(scheduler: GenerationScheduler) -> bool:
    state = scheduler.state
    return scheduler.held_bytes == 0 and state == QueueState(0, 0, 0, 0, state.tokens_per_s)


def test_a_prompt_is_read_in_chunks_and_continued_token_by_token() -> None:
    model, scheduler = started()
    reader = submit(scheduler, job((1, 2, 3, 4, 5, 6)))
    run_all(scheduler, reader)
    first, second, third = greedy((1, 2, 3, 4, 5, 6), 3)
    assert model.steps == [[(1, 2, 3, 4)], [(5, 6)], [(first,)], [(second,)]]
    start, *tokens, end = reader.events[0, 0]
    assert start == Started(0, 0, 0, seed=7, num_prompt_tokens=6)
    assert [t.token_ids for t in tokens if isinstance(t, Tokens)] == [(first,), (second,), (third,)]
    assert isinstance(end, Finished)
    assert (end.reason, end.num_new_tokens) == (FinishReason.LENGTH, 3)
    assert is_idle(scheduler)
    assert model.num_held == 0


def test_a_step_tells_how_long_its_tokens_took_and_what_is_held() -> None:
    _, scheduler = started()
    submit(scheduler, job((1, 2), max_new_tokens=2))
    submit(scheduler, job((3,), max_new_tokens=2))
    paces = []
    for now_s in (1.0, 4.0):
        step = scheduler.plan(now_s)
        assert step is not None
        assert (scheduler.state.num_sequences, scheduler.state.state_bytes) == (2, 7)
        step.run(lambda: None)
        step.settle(now_s + 0.5)
        paces.append(step.pace)
    assert paces == [Pace([1.5, 1.5], []), Pace([], [3.0, 3.0])]
    assert (scheduler.state.num_sequences, scheduler.state.state_bytes) == (0, 0)


def test_sequences_join_and_leave_at_every_step() -> None:
    model, scheduler = started()
    long = submit(scheduler, job((1,), max_new_tokens=5))
    turn(scheduler)
    turn(scheduler)
    short = submit(scheduler, job((2, 2), (3,), max_new_tokens=1))
    turn(scheduler)
    # the running one's token, and both prompts of the one that joined
    assert model.steps[2] == [(2, 2), (greedy((1,), 2)[-1],)] or len(model.steps[2]) == 2
    run_all(scheduler, long, short)
    assert long.drawn() == greedy((1,), 5)
    assert [short.drawn(0), short.drawn(1)] == [greedy((2, 2), 1), greedy((3,), 1)]
    assert is_idle(scheduler)


def test_a_long_prompt_is_read_beside_running_samples() -> None:
    model, scheduler = started()
    running = submit(scheduler, job((1,), max_new_tokens=30))
    turn(scheduler)
    long = submit(scheduler, job(tuple(range(10)) * 4))
    while not long.drawn():
        before = len(running.drawn())
        turn(scheduler)
        assert len(running.drawn()) == before + 1
        assert sum(map(len, model.steps[-1])) <= LIMITS.max_batch_tokens
    assert long.drawn() == greedy(tuple(range(10)) * 4, 1)


def test_a_prompt_of_several_samples_is_read_once() -> None:
    model, scheduler = started()
    reader = submit(scheduler, job((1, 2, 3, 4, 5), max_new_tokens=6, num_samples=5, sampling=WARM))
    run_all(scheduler, reader)
    prompt_reads = [ids for step in model.steps for ids in step if len(ids) > 1 or ids == (5,)]
    assert prompt_reads[:2] == [(1, 2, 3, 4), (5,)]
    drawn = [reader.drawn(0, sample) for sample in range(5)]
    assert all(len(ids) == 6 for ids in drawn)
    assert len(set(drawn)) > 1
    assert model.num_held == 0
    assert is_idle(scheduler)


def test_samples_without_room_start_when_others_end_and_draw_the_same() -> None:
    work = job((1, 2, 3), max_new_tokens=4, num_samples=4, sampling=WARM)
    _, roomy = started()
    expected = submit(roomy, work)
    run_all(roomy, expected)
    model, narrow = started(max_state_bytes=3 + 2 * 7)
    reader = submit(narrow, work)
    while turn(narrow):
        assert narrow.held_bytes <= 17
        reader.read(narrow)
    assert [reader.drawn(0, s) for s in range(4)] == [expected.drawn(0, s) for s in range(4)]
    assert model.num_held == 0
    assert is_idle(narrow)


def test_a_seed_gives_the_same_tokens_whatever_else_runs() -> None:
    work = job((3, 1), max_new_tokens=20, sampling=WARM, num_samples=2)
    _, alone = started()
    expected = submit(alone, work)
    run_all(alone, expected)
    _, busy = started()
    others = [submit(busy, job((n, n), max_new_tokens=n + 1, sampling=WARM)) for n in range(9)]
    turn(busy)
    reader = submit(busy, work)
    run_all(busy, reader, *others)
    assert [reader.drawn(0, s) for s in (0, 1)] == [expected.drawn(0, s) for s in (0, 1)]
    _, again = started()
    other_seed = submit(again, replace(work, seed=8))
    run_all(again, other_seed)
    assert other_seed.drawn() != expected.drawn()


def test_a_broken_stream_goes_on_with_the_same_draws() -> None:
    work = job((3, 1), max_new_tokens=12, sampling=WARM)
    _, scheduler = started()
    whole = submit(scheduler, work)
    run_all(scheduler, whole)
    drawn = whole.drawn()
    rest = replace(work, prompts=((3, 1, *drawn[:5]),), max_new_tokens=7, num_drawn_before=5)
    resumed = submit(scheduler, rest)
    run_all(scheduler, resumed)
    assert resumed.drawn() == drawn[5:]
    start = resumed.events[0, 0][0]
    assert isinstance(start, Started)
    assert start.num_prompt_tokens == 2


def test_a_stop_sequence_ends_a_sample_and_stays_in_it() -> None:
    expected = greedy((1, 2), 10)
    _, scheduler = started()
    reader = submit(scheduler, job((1, 2), max_new_tokens=10, stop=(expected[3:5], (98,))))
    run_all(scheduler, reader)
    assert reader.drawn() == expected[:5]
    end = reader.end()
    assert isinstance(end, Finished)
    assert end.reason is FinishReason.STOP_SEQUENCE
    assert is_idle(scheduler)


def test_only_allowed_tokens_come_and_the_mass_outside_is_told() -> None:
    _, scheduler = started()
    work = job((1,), max_new_tokens=8, sampling=WARM, allowed_tokens=frozenset({2, 5}))
    reader = submit(scheduler, work)
    run_all(scheduler, reader)
    assert set(reader.drawn()) <= {2, 5}
    end = reader.end()
    assert isinstance(end, Finished)
    assert 0.3 < end.mass_outside_alphabet < 1


def test_what_is_not_asked_for_is_not_told() -> None:
    _, scheduler = started()
    plain = submit(scheduler, job((1,), max_new_tokens=1))
    report = TokenReport(
        log_probs=True, sampled_probs=True, logits=True, elapsed=True, num_alternatives=2
    )
    full = submit(scheduler, job((1,), max_new_tokens=1, report=report))
    turn(scheduler, now_s=5.0)
    tokens, told = plain.events[0, 0][1], full.events[0, 0][1]
    assert tokens == Tokens(0, 0, 1, token_ids=(1,))
    assert isinstance(told, Tokens)
    assert told.log_probs == (0.0,)
    assert told.alternative_ids == ((1, 2),)
    assert told.elapsed_s == (6.0,)
    assert told.sampled_probs is not None
    assert told.logits is not None


def test_a_slow_reader_pauses_its_own_samples_only() -> None:
    _, scheduler = started(max_pending_result_bytes=3 * 64)
    slow, quick = (submit(scheduler, job((1,), max_new_tokens=9)) for _ in "ab")
    for _ in range(9):
        turn(scheduler)
        quick.read(scheduler)
    assert (len(slow.drawn()), len(quick.drawn())) == (3, 9)
    run_all(scheduler, slow)
    assert slow.drawn() == quick.drawn()
    assert is_idle(scheduler)


def test_giving_up_frees_all_before_the_next_step_and_during_one() -> None:
    model, scheduler = started()
    reader = submit(scheduler, job((1, 2), (3,), max_new_tokens=50, num_samples=3))
    turn(scheduler)
    scheduler.forget(reader)
    assert is_idle(scheduler)
    assert model.num_held == 0
    assert not turn(scheduler)
    for num_steps in range(4):
        other = submit(scheduler, job((1, 2, 3, 4, 5), max_new_tokens=50, num_samples=2))
        for _ in range(num_steps):
            turn(scheduler)
        step = scheduler.plan(0.0)
        assert step is not None
        scheduler.forget(other)
        assert scheduler.held_bytes == 0
        step.run(lambda: None)
        assert step.settle(1.0) == []
        assert is_idle(scheduler)
        assert model.num_held == 0


def test_numbers_that_are_not_finite_end_their_sample_alone() -> None:
    model, scheduler = started()
    reader = submit(scheduler, job((NOT_FINITE,), (1,)))
    run_all(scheduler, reader)
    failed = reader.end(0)
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, InternalError)
    assert reader.drawn(1) == greedy((1,), 3)
    assert model.num_held == 0
    assert is_idle(scheduler)


def test_a_read_that_raises_ends_its_own_and_nobody_else() -> None:
    model, scheduler = started()
    running = submit(scheduler, job((1,), max_new_tokens=9))
    turn(scheduler)
    reader = submit(scheduler, job((BROKEN, 1, 1, 1, 1), (2,), num_samples=2))
    run_all(scheduler, running, reader)
    assert running.drawn() == greedy((1,), 9)
    assert [type(reader.end(0, s)) for s in (0, 1)] == [Failed, Failed]
    assert reader.drawn(1, 1) == greedy((2,), 3)
    assert model.num_held == 0
    assert is_idle(scheduler)


def test_a_prompt_that_can_never_have_room_fails_alone() -> None:
    _, scheduler = started(max_state_bytes=10)
    reader = submit(scheduler, job((1,) * 8, (2,), num_samples=2))
    assert isinstance(reader.end(0, 1), Failed)
    run_all(scheduler, reader)
    failed = reader.end(0, 0)
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, SequenceTooLong)
    assert reader.drawn(1, 0) == greedy((2,), 3)
    with pytest.raises(InvalidRequest):
        scheduler.add(job(), Reader(), 0.0)


def test_a_large_prompt_is_passed_over_only_so_often() -> None:
    _, scheduler = started(max_state_bytes=40)
    small = [submit(scheduler, job((1,), max_new_tokens=9))]
    turn(scheduler)
    large = submit(scheduler, job((1,) * 30, max_new_tokens=9))
    for _ in range(MOST_PASSED_OVER + 60):
        if sum(not reader.has_ended for reader in small) < 6:
            small.append(submit(scheduler, job((1,), max_new_tokens=9)))
        turn(scheduler)
        for reader in (*small, large):
            reader.read(scheduler)
        if large.drawn():
            break
    assert large.drawn()
    assert any(not reader.drawn() for reader in small)


def test_flows_draw_alike_where_rows_are_scarce() -> None:
    _, scheduler = started(max_rows=4)
    many = submit(scheduler, job(*[(n,) for n in range(8)], max_new_tokens=99, flow="many"))
    one = submit(scheduler, job((1,), max_new_tokens=99, flow="one"))
    for _ in range(60):
        turn(scheduler)
    drawn = sum(len(many.drawn(item)) for item in range(8))
    assert len(one.drawn()) >= 40
    assert drawn >= 100


def test_a_short_step_draws_and_reads_nothing() -> None:
    _, scheduler = started()
    submit(scheduler, job((1,), max_new_tokens=9))
    assert scheduler.plan(0.0, ShortStep(4, 0.1)) is None
    turn(scheduler)
    submit(scheduler, job((1,), max_new_tokens=9))
    step = scheduler.plan(0.0, ShortStep(4, 0.1))
    assert step is not None
    assert (step.num_tokens, len(step.chunks)) == (1, 0)
    # while that one is on the device, another step takes what it left
    other = scheduler.plan(0.0)
    assert other is not None
    assert (len(other.running), len(other.chunks)) == (0, 1)


def test_admission_is_charged_and_refuses() -> None:
    _, scheduler = started(max_queued_tokens=20)
    reader = submit(scheduler, job((1, 2), max_new_tokens=8, num_samples=2))
    assert scheduler.state.queued_tokens == 18
    with pytest.raises(QueueFull):
        scheduler.add(job((1,)), Reader(), 0.0)
    turn(scheduler)
    assert scheduler.state.queued_tokens == 14
    run_all(scheduler, reader)
    assert is_idle(scheduler)


prompts = st.lists(st.integers(0, 10), min_size=1, max_size=9).map(tuple)
works = st.builds(
    job,
    prompts,
    prompts,
    max_new_tokens=st.integers(1, 6),
    num_samples=st.integers(1, 3),
    sampling=st.just(WARM),
    seed=st.integers(0, 3),
    flow=st.sampled_from(["", "x"]),
)


@settings(max_examples=40, deadline=None)
@given(
    works=st.lists(works, min_size=1, max_size=6),
    given_up=st.sets(st.integers(0, 5), max_size=2),
    room=st.integers(24, 60),
    pause=st.booleans(),
)
def test_whatever_the_load_budgets_hold_and_everybody_ends_with_their_own_tokens(
    works: list[GenerationJob], given_up: set[int], room: int, pause: bool
) -> None:
    pending_bytes = 2 * 64 if pause else 10**6
    model, scheduler = started(max_state_bytes=room, max_pending_result_bytes=pending_bytes)
    readers = [submit(scheduler, work) for work in works]
    for index in given_up & set(range(len(works))):
        turn(scheduler)
        scheduler.forget(readers[index])
    kept = [index for index in range(len(works)) if index not in given_up]
    for _ in range(2000):
        if not turn(scheduler) and not any(readers[index].unread for index in kept):
            break
        assert scheduler.held_bytes <= room
        assert sum(map(len, model.steps[-1])) <= LIMITS.max_batch_tokens
        for index in kept:
            readers[index].read(scheduler, 1)
    for index in kept:
        assert readers[index].has_ended
        _, alone = started()
        expected = submit(alone, works[index])
        run_all(alone, expected)
        pairs = [(item, sample) for item in (0, 1) for sample in range(works[index].num_samples)]
        assert [readers[index].drawn(*p) for p in pairs] == [expected.drawn(*p) for p in pairs]
        scheduler.forget(readers[index])
    assert model.num_held == 0
    assert is_idle(scheduler)
