"""Decoding in slots, against reading the same tokens."""

import pytest
import torch

from primase_server.models.evo2 import traces
from primase_server.models.evo2.config import Evo2Config
from primase_server.models.evo2.decoder import Decoder
from primase_server.models.evo2.model import Evo2
from primase_server.models.evo2.state import SequenceState
from tests.models.evo2.tiny import INTERPOLATED, KEYS, make_state, ours

TOLERANCE = 2e-5
LENGTHS = (1, 4, 7, 40, 127, 150, 200, 3)  # short of every filter, as long, and longer


def tokens(count: int, seed: int) -> torch.Tensor:
    return torch.randint(65, 85, (count,), generator=torch.Generator().manual_seed(seed))


@torch.inference_mode()
def prefilled(model: Evo2, token_ids: torch.Tensor) -> SequenceState:
    state = model.new_state()
    model.extend([token_ids], [state])
    return state


@torch.inference_mode()
def whole(model: Evo2, token_ids: torch.Tensor) -> torch.Tensor:
    rows = model.extend([token_ids], [model.new_state()])
    assert rows is not None
    return model.logits(rows)


@pytest.mark.parametrize("traced_after", [None, 30])
def test_ragged_sequences_go_on_as_if_each_were_read_whole(
    traced_after: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traces, "TRACED_AFTER", traced_after)
    model = ours(INTERPOLATED)
    decoder = Decoder(model)
    prompts = [tokens(length, length) for length in LENGTHS]
    slots = [decoder.put(prefilled(model, prompt)) for prompt in prompts]
    drawn = [tokens(135, 1000 + index) for index in range(len(LENGTHS))]
    found = torch.stack(
        [torch.stack(decoder.step([int(ids[i]) for ids in drawn], slots)) for i in range(135)],
        dim=1,
    )
    for prompt, ids, rows in zip(prompts, drawn, found, strict=True):
        expected = whole(model, torch.cat([prompt, ids]))[len(prompt) :]
        assert (rows - expected).abs().max() <= TOLERANCE * expected.abs().max()


def test_sequences_join_and_leave_and_a_slot_that_is_used_again_remembers_nothing() -> None:
    model = ours()
    decoder = Decoder(model)
    prompt = tokens(30, 1)
    first = decoder.put(prefilled(model, prompt))
    [expected] = decoder.step([65], [first])
    decoder.free(first)
    others = [decoder.put(prefilled(model, tokens(150, seed))) for seed in range(20)]
    decoder.step([67] * 20, others)
    for slot in others[3:9]:
        decoder.free(slot)
    again = decoder.put(prefilled(model, prompt))
    assert again in others
    rows = decoder.step([71, 65, 84], [others[0], again, others[19]])
    assert (rows[1] - expected).abs().max() <= TOLERANCE * expected.abs().max()


def test_a_row_of_a_block_of_fixed_size_is_the_same_bit_for_bit_whoever_else_is_in_it() -> None:
    model = ours()
    decoder = Decoder(model)
    prompt = tokens(30, 1)

    def go_on(place: int, others: int, paused: int = 0) -> torch.Tensor:
        slots = [decoder.put(prefilled(model, tokens(9, seed))) for seed in range(others)]
        slots.insert(place, decoder.put(prefilled(model, prompt)))
        rows = []
        for index in range(40):
            ids = [66 + (index * other) % 19 for other in range(others + 1)]
            ids[place] = 65 + index % 20
            running = slice(0, None if index < 20 else max(place, others - paused) + 1)
            rows.append(decoder.step(ids[running], slots[running], block_rows=8)[place])
        for slot in slots:
            decoder.free(slot)
        return torch.stack(rows)

    alone = go_on(0, others=0)
    for place, others, paused in ((0, 7, 0), (3, 5, 0), (7, 7, 0), (0, 7, 6), (2, 20, 0)):
        assert torch.equal(go_on(place, others, paused), alone)


def test_a_device_may_be_named_in_any_way() -> None:
    config = Evo2Config.from_mapping(KEYS)
    named = Evo2(config, make_state(), [torch.device("cpu:0")] * config.num_layers)
    assert torch.device("cpu:0") != torch.device("cpu")
    rows = []
    for model in (named, ours()):
        decoder = Decoder(model)
        slot = decoder.put(prefilled(model, tokens(30, 1)))
        rows += decoder.step([65], [slot])
    assert torch.equal(*rows)
