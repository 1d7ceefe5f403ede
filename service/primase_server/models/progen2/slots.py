"""Slots: the states of sequences that run at once, side by side, so that one product serves many.

    slab    a tensor with slots for a few sequences of one size
    slot    one sequence's part of it

Slabs never move or grow. A slab without sequences gives its memory back.
"""

from dataclasses import dataclass
from threading import Lock

import torch
from torch import Tensor

from primase_server.models.progen2.config import ProGen2Config
from primase_server.models.progen2.state import SequenceState, room_for, state_bytes, stored_shape

SLAB_BYTES = 256 << 20
MOST_SLOTS = 32
"""In a slab, fewer where so many would take more than `SLAB_BYTES`."""


@dataclass(eq=False)
class Slab:
    """stored: [layers, 2, slots, heads, tokens, head_dim], finite everywhere."""

    stored: Tensor
    free: set[int]

    @property
    def num_slots(self) -> int:
        """Those that are taken too."""
        return self.stored.shape[2]


@dataclass(eq=False)
class Slot(SequenceState):
    """The past of a sequence whose tensor is a part of a slab's."""

    slab: Slab | None = None
    index: int = 0

    @property
    def order(self) -> tuple[int, int]:
        """Sorts neighbours next to each other."""
        return id(self.slab), self.index


class Slots:
    """All slabs of one model. `give_back` may be called from any thread."""

    def __init__(self, config: ProGen2Config, device: torch.device, dtype: torch.dtype) -> None:
        self._config, self._device, self._dtype = config, device, dtype
        self._slabs: dict[int, list[Slab]] = {}
        self._lock = Lock()

    @property
    def num_slabs(self) -> int:
        """Slabs that hold memory now."""
        return sum(map(len, self._slabs.values()))

    def take(self, max_tokens: int) -> Slot:
        """The first slot that is free, of an empty sequence with room for so many tokens."""
        with self._lock:
            slabs = self._slabs.setdefault(room_for(max_tokens), [])
            slab = next((slab for slab in slabs if slab.free), None)
            if slab is None:
                slab = self._new_slab(max_tokens)
                slabs.append(slab)
            index = min(slab.free)
            slab.free.remove(index)
        return Slot(slab.stored[:, :, index], 0, slab, index)

    def give_back(self, slot: Slot) -> None:
        """Nobody will ask for the slot again."""
        slab = slot.slab
        if slab is None:
            return
        slot.slab = None
        with self._lock:
            slab.free.add(slot.index)
            if len(slab.free) == slab.num_slots:
                self._slabs[slab.stored.shape[4]].remove(slab)

    def _new_slab(self, max_tokens: int) -> Slab:
        layers, sides, *rest = stored_shape(self._config, max_tokens)
        slot_bytes = state_bytes(self._config, max_tokens, self._dtype.itemsize)
        num_slots = max(1, min(MOST_SLOTS, SLAB_BYTES // slot_bytes))
        # zeros, since what is not read yet is weighed with 0, which leaves a NaN a NaN
        stored = torch.zeros(
            layers, sides, num_slots, *rest, device=self._device, dtype=self._dtype
        )
        return Slab(stored, set(range(num_slots)))
