"""The rows of one decoding step, and what slots hold for them.

A row is one token of the sequence in one slot. Everything lies in tensors that stay where they are,
so that a GPU may record what is done with them and repeat it for other tokens.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from primase_server.models.device_graph import sent
from primase_server.models.evo2.attention import Rotary, rotary_angles, rotary_tables
from primase_server.models.evo2.config import Evo2Config


class Rows:
    """So many rows on one device.

    x: [rows, width], the residual stream. mixed: [rows, width], what attention has found.
    view: the slots as a range, where they are one; None where `slots` alone tells.
    places: of the positions in a ring of medium filters. rotary: one for each set of frequencies.
    """

    def __init__(
        self,
        num_rows: int,
        width: int,
        dtype: torch.dtype,
        device: torch.device,
        view: slice | None = None,
    ) -> None:
        self.view = view
        self._inputs = torch.zeros(3, num_rows, dtype=torch.int64, device=device)
        self.device = self._inputs.device  # by its full name
        self.token_ids, self.slots, self.positions = self._inputs
        self.x = torch.zeros(num_rows, width, dtype=dtype, device=device)
        self.mixed = torch.zeros_like(self.x)
        self.places = torch.zeros_like(self.positions)
        self.rotary: list[Rotary] = []
        self._parts: dict[Past, Tensor] = {}

    @property
    def changing(self) -> list[Tensor]:
        """Everything that a step reads or writes here."""
        tables = [table for rotary in self.rotary for table in rotary]
        given = [self.token_ids, self.slots, self.positions]
        return [*given, self.places, self.x, self.mixed, *tables]

    def part_of(self, past: "Past") -> Tensor:
        """What it holds for the slots, which are a range; always the same tensor."""
        if past not in self._parts:
            self._parts[past] = past.all[self.view]
        return self._parts[past]

    def tensors_of(self, past: "Past") -> list[Tensor]:
        """All by which a step over these rows reads or writes it."""
        return [past.all] if self.view is None else [past.all, self.part_of(past)]

    def load(self, inputs: Tensor) -> None:
        """inputs: int64 [3, rows] of the CPU: token ids, slots and positions."""
        self._inputs.copy_(sent(inputs, self.device), non_blocking=True)

    def turn(self, config: Evo2Config, rotaries: Sequence[Tensor]) -> None:
        """Fill in what depends on the positions; `rotaries` of all devices."""
        torch.remainder(self.positions, config.hcm_taps, out=self.places)
        here = [inv_freq for inv_freq in rotaries if inv_freq.device == self.device]
        for index, inv_freq in enumerate(here):
            angles = rotary_angles(self.positions, inv_freq, config.position_scale)
            cos, sin = rotary_tables(angles, self.x.dtype)
            if index == len(self.rotary):
                self.rotary.append((torch.empty_like(cos), torch.empty_like(sin)))
            for stored, table in zip(self.rotary[index], (cos, sin), strict=True):
                stored.copy_(table)


class Past:
    """One tensor with a row for every slot; another one when there are more or fewer of them."""

    def __init__(self, like: Tensor) -> None:
        """Zeros of the shape, dtype and device of what one slot holds."""
        self.all = like.new_zeros(0, *like.shape)

    @property
    def slot_bytes(self) -> int:
        """Bytes of one slot."""
        return self.all[0].nbytes

    def resize(self, num_slots: int) -> None:
        """Have so many: where they are more, those there were keep what they hold."""
        if num_slots < len(self.all):
            self.all = self.all.new_zeros(0, *self.all.shape[1:])  # so that it cannot lack room
        resized = self.all.new_zeros(num_slots, *self.all.shape[1:])
        resized[: len(self.all)] = self.all
        self.all = resized

    def of(self, rows: Rows) -> Tensor:
        """[rows, ...]: the slots themselves where they are a range, else a copy."""
        return self.all.index_select(0, rows.slots) if rows.view is None else rows.part_of(self)

    def keep(self, rows: Rows, values: Tensor) -> None:
        """values: [rows, ...], what the slots hold from now on."""
        if rows.view is None:
            self.all.index_copy_(0, rows.slots, values)
        else:
            rows.part_of(self).copy_(values)


def range_of(slots: Sequence[int]) -> slice | None:
    """The slots as a range, if they follow one another."""
    first = slots[0]
    is_range = all(slot == first + index for index, slot in enumerate(slots))
    return slice(first, first + len(slots)) if is_range else None
