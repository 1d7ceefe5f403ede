"""Memory grows with the chunk and with the caches, and with nothing else."""

from typing import Any

import pytest
import torch

from primase_server.models.evo2.model import Evo2
from primase_server.models.evo2.state import SequenceState, state_bytes
from primase_server.models.evo2.weights import load
from primase_server.models.given_weights import FixtureWeights
from primase_server.models.key_values import capacity
from tests.models.evo2 import running
from tests.models.evo2.running import random_bases
from tests.models.evo2.tiny import KEYS, ours
from tests.models.live_bytes import LiveBytes

CHUNK = 256
NO_ATTENTION = KEYS | {
    "num_layers": 3,
    "attn_layer_idxs": [],
    "hcs_layer_idxs": [0],
    "hcm_layer_idxs": [1],
    "hcl_layer_idxs": [2],
}


def transient_bytes(model: Evo2, state: SequenceState, num_tokens: int) -> int:
    """Most bytes held while a chunk is read, beside what its state holds in the end."""
    tokens = random_bases(num_tokens)
    with torch.inference_mode(), LiveBytes() as count:
        model.extend([tokens], [state])
    peak_bytes: int = count.peak
    return peak_bytes - state.num_bytes


@pytest.mark.parametrize("num_tokens", [0, 1, 15, 16, 17, 100, 128, 129, 1000, 1025])
def test_a_state_holds_what_is_said(num_tokens: int) -> None:
    model = load(FixtureWeights()).model
    state = model.new_state()
    if num_tokens:
        running.extend(model, [random_bases(num_tokens)], [state])
    assert state.num_tokens == num_tokens
    assert state.num_bytes == state_bytes(model.config, num_tokens, 4)


def test_a_state_may_have_its_room_from_the_start() -> None:
    model = load(FixtureWeights()).model
    state, tokens = model.new_state(300), random_bases(300)
    caches = [state.key_values(layer).stored for layer in model.config.attention_layers]
    for chunk in tokens.split(70):
        running.extend(model, [chunk], [state])
        assert state.num_bytes == state_bytes(model.config, 300, 4)
    for layer, cache in zip(model.config.attention_layers, caches, strict=True):
        assert state.key_values(layer).stored is cache
    running.extend(model, [tokens[:100]], [state])
    assert state.num_bytes == state_bytes(model.config, 400, 4)


def test_a_state_in_16_bits_keeps_its_modes_in_32() -> None:
    model = load(FixtureWeights(), dtype=torch.bfloat16).model
    state = model.new_state()
    running.extend(model, [random_bases(50)], [state])
    assert state.num_bytes == state_bytes(model.config, 50, 2)
    assert state.convolution(2).inner.dtype == torch.float32


def test_steps_leave_the_state_that_a_chunk_does() -> None:
    model = load(FixtureWeights()).model
    state = model.new_state()
    for token_ids in random_bases(40, 1):
        running.step(model, token_ids, [state])
    assert state.num_bytes == state_bytes(model.config, 40, 4)


def test_room_for_keys_grows_by_eighths() -> None:
    found = [capacity(n) for n in (0, 1, 16, 17, 20, 21, 128, 129)]
    assert found == [0, 16, 16, 20, 20, 24, 128, 160]
    for n in range(1, 5000, 7):
        assert n <= capacity(n) <= max(16, 1.25 * n)
    assert capacity(1 << 20) == 1 << 20


def test_a_state_is_let_go_with_its_sequence() -> None:
    model = load(FixtureWeights()).model
    with LiveBytes() as count:
        states = [model.new_state() for _ in range(8)]
        running.extend(model, list(random_bases(8, 60)), states)
        before = count.live
        del states[3:]
        assert before - count.live == 5 * state_bytes(model.config, 60, 4)


def test_a_chunk_late_in_a_sequence_takes_no_more_than_an_early_one() -> None:
    model = ours(NO_ATTENTION)
    state = model.new_state()
    found = [transient_bytes(model, state, CHUNK) for _ in range(40)]
    assert max(found) == min(found)


def test_attention_takes_its_caches_and_a_mask_besides() -> None:
    model = ours()
    state = model.new_state()
    first = transient_bytes(model, state, CHUNK)
    for index in range(1, 20):
        mask_bytes = 4 * CHUNK * CHUNK * (index + 1)
        assert transient_bytes(model, state, CHUNK) < first + mask_bytes


@pytest.mark.parametrize("keys", [KEYS, NO_ATTENTION])
def test_memory_grows_with_the_chunk(keys: dict[str, Any]) -> None:
    model = ours(keys)
    found = [transient_bytes(model, model.new_state(), n) for n in (512, 4096)]
    assert found[1] - found[0] < 13 * (4096 - 512) * model.config.width * 4
