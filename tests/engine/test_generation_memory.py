"""A device that runs out of memory in the middle of a generation: halves, down to the one."""

from collections.abc import Sequence

import pytest

from primase_server.engine.events import Failed, Finished
from primase_server.engine.generation_runner import Read
from primase_server.engine.generation_scheduler import GenerationScheduler
from primase_server.errors import OutOfMemory
from tests.engine.generation_toys import ToyModel, ToyState, greedy, job, run_all, submit
from tests.engine.toys import ROOMY

PROMPTS = ((1,), (2, 3), (4,), (5, 6, 7, 8, 9), (1, 1))


def began_with(read: Read, first: int) -> bool:
    """Whether it is of the sequence that begins so."""
    assert isinstance(read.state, ToyState)
    return (*read.state.token_ids, *read.token_ids)[0] == first


def ended_out_of_memory(event: object) -> bool:
    return isinstance(event, Failed) and isinstance(event.error, OutOfMemory)


@pytest.mark.parametrize("most", [1, 2, 3])
def test_a_step_too_large_is_run_in_halves_and_nobody_notices(most: int) -> None:
    model = ToyModel(has_room=lambda reads: len(reads) <= most)
    scheduler = GenerationScheduler(model, ROOMY)
    reader = submit(scheduler, job(*PROMPTS, max_new_tokens=6, num_samples=2))
    run_all(scheduler, reader)
    for item, prompt in enumerate(PROMPTS):
        for sample in range(2):
            assert reader.drawn(item, sample) == greedy(prompt, 6)
            assert isinstance(reader.end(item, sample), Finished)
    assert max(map(len, model.steps)) > most
    assert model.num_held == scheduler.held_bytes == 0


def test_one_that_never_fits_fails_alone_after_what_it_has_told() -> None:
    def has_room(reads: Sequence[Read]) -> bool:
        return not any(began_with(read, 4) and len(read.state.token_ids) > 2 for read in reads)  # type: ignore[attr-defined]

    model = ToyModel(has_room=has_room)
    scheduler = GenerationScheduler(model, ROOMY)
    reader = submit(scheduler, job(*PROMPTS, max_new_tokens=6))
    run_all(scheduler, reader)
    assert ended_out_of_memory(reader.end(2))
    assert reader.drawn(2) == greedy((4,), 6)[:3]
    for item in (0, 1, 3, 4):
        assert reader.drawn(item) == greedy(PROMPTS[item], 6)
    assert model.num_held == scheduler.held_bytes == 0


def test_a_prompt_that_never_fits_fails_with_all_its_samples() -> None:
    model = ToyModel(has_room=lambda reads: not any(began_with(read, 5) for read in reads))
    scheduler = GenerationScheduler(model, ROOMY)
    reader = submit(scheduler, job(*PROMPTS, num_samples=3))
    run_all(scheduler, reader)
    assert [ended_out_of_memory(reader.end(3, sample)) for sample in range(3)] == [True] * 3
    assert reader.drawn(1, 2) == greedy(PROMPTS[1], 3)
    assert model.num_held == scheduler.held_bytes == 0


def test_samples_for_which_there_is_no_copy_of_their_prompt_fail_and_others_go_on() -> None:
    model = ToyModel()
    scheduler = GenerationScheduler(model, ROOMY)
    alone = submit(scheduler, job((2,), max_new_tokens=9))
    model.fork_fails = True
    several = submit(scheduler, job((1,), num_samples=2))
    run_all(scheduler, alone, several)
    assert [ended_out_of_memory(several.end(0, sample)) for sample in range(2)] == [True] * 2
    assert alone.drawn() == greedy((2,), 9)
    assert model.num_held == scheduler.held_bytes == 0
