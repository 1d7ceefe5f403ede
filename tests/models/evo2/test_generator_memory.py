"""What sequences hold while they are drawn is what was reserved for them."""

import pytest
import torch

from primase_server.engine.generation_runner import Read
from primase_server.models.evo2 import traces
from primase_server.models.evo2.generator import Evo2Generator, Running
from tests.models.evo2.test_generator import FEW_BLOCKS
from tests.models.evo2.tiny import ours
from tests.models.live_bytes import LiveBytes

PROMPT = tuple(b"ACGT" * 20)
NUM_DRAWN = 50
MAX_TOKENS = len(PROMPT) + NUM_DRAWN
STEP_BYTES = 1 << 20  # logits, and what one step of this small model makes beside
SMALL_BYTES = 1 << 15  # the rows of a few steps


@pytest.fixture(autouse=True)
def untraced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can be traced while bytes are counted."""
    monkeypatch.setattr(traces, "TRACED_AFTER", None)


def read_prompts(generator: Evo2Generator, count: int) -> list[Running]:
    states = [generator.new_state(MAX_TOKENS) for _ in range(count)]
    for state in states:
        generator.step([Read(state, PROMPT, False, False, False)], lambda: None)
    return states


def draw(generator: Evo2Generator, states: list[Running], count: int) -> None:
    for index in range(count):
        reads = [Read(state, (65 + index % 4,), True, True, False) for state in states]
        generator.step(reads, lambda: None)


def _read_and_leave(generator: Evo2Generator, memory: LiveBytes) -> int:
    """Bytes held after more sequences than there were slots, all of which have ended."""
    states = read_prompts(generator, 9)
    draw(generator, states, 1)
    for state in states:
        generator.release(state)
    held: int = memory.live
    return held


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_drawn_sequences_hold_what_was_reserved_and_give_it_back(dtype: torch.dtype) -> None:
    generator = Evo2Generator(ours(FEW_BLOCKS, dtype=dtype))
    reserved = 24 * generator.sequence_bytes(MAX_TOKENS)
    with LiveBytes() as memory:
        before = _read_and_leave(generator, memory)
        states = read_prompts(generator, 24)
        assert memory.live <= before + reserved
        draw(generator, states, NUM_DRAWN)
        slots_bytes = 24 * (generator.sequence_bytes(MAX_TOKENS) - generator.sequence_bytes(0))
        assert slots_bytes < memory.live <= reserved + STEP_BYTES
        assert memory.peak <= before + reserved + STEP_BYTES
        for state in states:
            generator.release(state)
        assert memory.live <= before + SMALL_BYTES


def test_samples_that_share_a_prompt_hold_no_more_than_was_reserved_for_each() -> None:
    generator = Evo2Generator(ours(FEW_BLOCKS))
    with LiveBytes() as memory:
        [prompt] = read_prompts(generator, 1)
        samples = [generator.fork(prompt, MAX_TOKENS) for _ in range(6)]
        draw(generator, samples, NUM_DRAWN)
        assert memory.live <= 7 * generator.sequence_bytes(MAX_TOKENS) + STEP_BYTES
