"""Slots lie side by side, lowest first, and a slab that nobody uses gives its memory back."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from primase_server.models.progen2 import slots as module
from primase_server.models.progen2.decoder import Decoder
from primase_server.models.progen2.slots import MOST_SLOTS, Slot, Slots
from tests.models.progen2 import reference
from tests.models.progen2.running import TOLERANCE, proteins, relative_error
from tests.models.progen2.tiny import MAIN, ours

CPU = torch.device("cpu")


def empty() -> Slots:
    return Slots(MAIN, CPU, torch.float32)


def test_slots_of_a_size_share_a_slab() -> None:
    slots = empty()
    taken = [slots.take(length) for length in (60, 64, 50, 49, 20)]
    assert [slot.index for slot in taken] == [0, 1, 2, 3, 0]
    assert len({id(slot.slab) for slot in taken}) == slots.num_slabs == 2


def test_the_lowest_free_slot_is_taken() -> None:
    slots = empty()
    taken = [slots.take(64) for _ in range(5)]
    slots.give_back(taken[3])
    slots.give_back(taken[1])
    assert [slots.take(64).index for _ in range(3)] == [1, 3, 5]


def test_a_full_slab_is_followed_by_another() -> None:
    slots = empty()
    taken = [slots.take(64) for _ in range(MOST_SLOTS + 1)]
    assert (taken[-1].index, slots.num_slabs) == (0, 2)
    for slot in taken:
        slots.give_back(slot)
    assert slots.num_slabs == 0


def test_large_states_lie_fewer_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLAB_BYTES", 1)
    slots = empty()
    assert [slots.take(64).index for _ in range(2)] == [0, 0]
    assert slots.num_slabs == 2


def test_a_slot_is_given_back_once() -> None:
    slots = empty()
    keeper, slot = slots.take(64), slots.take(64)
    slots.give_back(slot)
    again = slots.take(64)
    slots.give_back(slot)
    assert again.index == 1
    assert slots.take(64).index == 2
    assert keeper.index == 0


def test_slots_are_given_back_from_any_thread() -> None:
    slots = empty()
    with ThreadPoolExecutor(4) as pool:
        for _ in range(20):
            taken = [slots.take(64) for _ in range(40)]
            [*pool.map(slots.give_back, taken)]
            assert slots.num_slabs == 0


@torch.inference_mode()
def test_what_was_in_a_slot_before_is_not_seen() -> None:
    model, slots, text = ours(), empty(), proteins()[0]
    decoder = Decoder(model)

    def read(slot: Slot) -> None:
        model.extend([torch.tensor(text[:60])], [slot])

    # both have had longer sequences in them, and one that is not finite would be seen
    keeper, first, second = (slots.take(64) for _ in range(3))
    for slot in (first, second):
        read(slot)
        slots.give_back(slot)
    short, long = slots.take(64), slots.take(64)
    model.extend([torch.tensor(text[:5]), torch.tensor(text[:40])], [short, long])
    rows = decoder.step([text[40], text[5]], [long, short])
    found = model.logits(rows)
    expected = reference.logits(text)
    assert relative_error(found[1], expected[5]) < TOLERANCE
    assert relative_error(found[0], expected[40]) < TOLERANCE
    assert keeper.num_tokens == 0


def test_a_state_has_the_room_it_was_made_with() -> None:
    state = ours().new_state(16)
    ours().extend([torch.arange(5, 20)], [state])
    with pytest.raises(ValueError, match="room for 16 tokens"):
        ours().extend([torch.tensor([5, 6])], [state])
    with pytest.raises(ValueError, match="passes 64 tokens"):
        ours().whole([torch.full((65,), 5)])
