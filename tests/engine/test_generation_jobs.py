"""What a generation job may hold beside prompts, and how far it is told to be."""

from dataclasses import replace

import pytest

from primase_server.engine.events import Failed, Finished, FinishReason
from primase_server.engine.generation import TokenReport
from primase_server.errors import InvalidSequence
from tests.engine.generation_toys import greedy, job, logits_after, run_all, submit, turn
from tests.engine.test_generation_scheduler import WARM, is_idle, started

BAD = InvalidSequence.at("prompt", "is bad")


def test_a_prompt_known_to_be_bad_fails_in_its_place() -> None:
    _, scheduler = started()
    work = replace(job((1,), (2,), num_samples=2), prompts=((1,), BAD, (2,)))
    reader = submit(scheduler, work)
    for sample in (0, 1):
        end = reader.end(1, sample)
        assert isinstance(end, Failed)
        assert end.error is BAD
    run_all(scheduler, reader)
    assert reader.drawn(0, 1) == greedy((1,), 3)
    assert reader.drawn(2, 1) == greedy((2,), 3)
    scheduler.forget(reader)
    assert is_idle(scheduler)


def test_a_job_of_bad_prompts_only_ends_at_once() -> None:
    _, scheduler = started()
    reader = submit(scheduler, replace(job((1,)), prompts=(BAD, BAD)))
    assert reader.has_ended
    assert not turn(scheduler)
    scheduler.forget(reader)
    assert is_idle(scheduler)


def test_one_sample_can_be_drawn_by_itself() -> None:
    _, scheduler = started()
    work = job((3,), (5,), max_new_tokens=9, num_samples=3, sampling=WARM)
    several = submit(scheduler, work)
    one = replace(work, prompts=((5,),), num_samples=1, first_item=1, first_sample=2)
    alone = submit(scheduler, one)
    run_all(scheduler, several, alone)
    assert alone.drawn() == several.drawn(1, 2)


def test_a_stop_sequence_may_begin_in_what_was_drawn_before() -> None:
    drawn = greedy((1, 2), 10)
    work = job((1, 2, *drawn[:4]), max_new_tokens=6, num_drawn_before=4, stop=(drawn[2:6],))
    _, scheduler = started()
    reader = submit(scheduler, work)
    run_all(scheduler, reader)
    assert reader.drawn() == drawn[4:6]
    end = reader.end()
    assert isinstance(end, Finished)
    assert end.reason is FinishReason.STOP_SEQUENCE
    # what was not drawn is not looked at
    other = submit(scheduler, replace(work, num_drawn_before=1, stop=(drawn[2:5],)))
    run_all(scheduler, other)
    assert other.drawn() == drawn[4:]


def test_a_terminal_ends_its_sample_and_is_told_with_the_end() -> None:
    report = TokenReport(log_probs=True, logits=True)
    drawn = greedy((1, 2), 10)
    terminal = drawn[4]
    assert terminal not in drawn[:4]
    _, scheduler = started()
    work = job((1, 2), (5,), max_new_tokens=10, report=report)
    reader = submit(scheduler, replace(work, terminals=frozenset({terminal, 99})))
    run_all(scheduler, reader)
    assert reader.drawn(0) == drawn[:4]
    end = reader.end(0)
    assert isinstance(end, Finished)
    assert (end.reason, end.num_new_tokens) == (FinishReason.TERMINAL, 4)
    assert end.terminal is not None
    assert end.terminal.token_ids == (terminal,)
    assert end.terminal.log_probs == (0.0,)  # the likeliest is sure to be drawn
    assert end.terminal.logits is not None
    assert end.terminal.logits.argmax() == terminal
    assert is_idle(scheduler)


def test_a_terminal_may_be_the_first_token() -> None:
    _, scheduler = started()
    [first] = greedy((1, 2), 1)
    work = job((1, 2), max_new_tokens=1, terminals=frozenset({first}), allowed_tokens={first})
    reader = submit(scheduler, work)
    run_all(scheduler, reader)
    _start, end = reader.events[0, 0]
    assert isinstance(end, Finished)
    assert (end.reason, end.num_new_tokens) == (FinishReason.TERMINAL, 0)
    outside = 1 - logits_after((1, 2)).softmax(0)[first].item()
    assert end.mass_outside_alphabet == pytest.approx(outside, rel=1e-5)
    assert is_idle(scheduler)


def test_the_last_token_that_may_be_made_may_be_a_terminal() -> None:
    drawn = greedy((1, 2), 3)
    for num_tokens, reason in ((3, FinishReason.TERMINAL), (2, FinishReason.LENGTH)):
        _, scheduler = started()
        work = job((1, 2), max_new_tokens=num_tokens, terminals=frozenset({drawn[2]}))
        reader = submit(scheduler, work)
        run_all(scheduler, reader)
        assert reader.drawn() == drawn[:2]
        end = reader.end()
        assert isinstance(end, Finished)
        assert end.reason is reason


def test_a_heartbeat_tells_the_place_in_line_then_the_tokens_read() -> None:
    _, scheduler = started(max_state_bytes=40)
    first = submit(scheduler, job((1,) * 30, max_new_tokens=5))
    second = submit(scheduler, job((2,) * 30, max_new_tokens=5))
    told = scheduler.heartbeat(second)
    assert told is not None
    assert (told.queue_position, told.num_prefilled_tokens) == (1, 0)
    turn(scheduler)
    told = scheduler.heartbeat(first)
    assert told is not None
    assert (told.item_index, told.queue_position, told.num_prefilled_tokens) == (0, 0, 4)
    while not first.drawn():
        turn(scheduler)
    told = scheduler.heartbeat(first)
    assert told is not None
    assert (told.queue_position, told.num_prefilled_tokens) == (0, 30)
    run_all(scheduler, first, second)
    scheduler.forget(first)
    assert scheduler.heartbeat(first) is None
