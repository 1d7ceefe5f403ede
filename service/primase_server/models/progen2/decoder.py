"""Decoding: the next token of many sequences at once, their states side by side in slots."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from primase_server.models.progen2.model import ProGen2
from primase_server.models.progen2.slots import Slot


class Decoder:
    """Reads the next token of sequences in slots."""

    def __init__(self, model: ProGen2) -> None:
        self._model = model

    @torch.inference_mode()
    def step(self, token_ids: Sequence[int], slots: Sequence[Slot]) -> Tensor:
        """One token of each: rows behind the final norm, [rows, width], in order.

        Neighbours attend together, over as many tokens as the longest of them has.
        """
        order = sorted(range(len(slots)), key=lambda row: slots[row].order)
        sorted_slots = [slots[row] for row in order]
        rows = self._step([token_ids[row] for row in order], sorted_slots, _runs(sorted_slots))
        unsorted = torch.empty_like(rows)
        unsorted[order] = rows
        return unsorted

    @torch.inference_mode()
    def step_alone(self, token_ids: Sequence[int], slots: Sequence[Slot], num_rows: int) -> Tensor:
        """The same for at most `num_rows` sequences, whose numbers do not depend on each other.

        The products always have so many rows, and each sequence attends by itself.
        """
        runs = [Run(row, [slot]) for row, slot in enumerate(slots)]
        return self._step([*token_ids, *[0] * (num_rows - len(slots))], slots, runs)[: len(slots)]

    def _step(
        self, token_ids: Sequence[int], slots: Sequence[Slot], runs: Sequence["Run"]
    ) -> Tensor:
        num_empty = len(token_ids) - len(slots)
        starts = [slot.num_tokens for slot in slots] + [0] * num_empty
        places = self._model.places(starts, [1] * len(starts))

        def mix(layer: int, qkv: Tensor, mixed: Tensor) -> None:
            mixed[len(slots) :] = 0
            for run in runs:
                run.attend(layer, qkv, mixed)

        rows = self._model.run(torch.tensor(token_ids), places, mix)
        for slot in slots:
            slot.num_tokens += 1
        return rows


class Run:
    """Neighbouring slots of a slab, which are neighbouring rows of a step from `first_row` on."""

    def __init__(self, first_row: int, slots: Sequence[Slot]) -> None:
        assert slots[0].slab is not None
        self._stored = slots[0].slab.stored
        self._rows = slice(first_row, first_row + len(slots))
        self._slots = slice(slots[0].index, slots[-1].index + 1)
        device = self._stored.device
        places = torch.tensor([slot.num_tokens for slot in slots])
        self._num_tokens = int(places.max()) + 1
        self._where = torch.tensor([slot.index for slot in slots]).to(device), places.to(device)
        self._mask = None
        if len(slots) > 1:
            beyond = torch.arange(self._num_tokens) > places[:, None]
            mask = torch.zeros(beyond.shape).masked_fill_(beyond, -torch.inf)
            self._mask = mask[:, None, None].to(device, self._stored.dtype)

    def attend(self, layer: int, qkv: Tensor, mixed: Tensor) -> None:
        """See `Mix` of the model: of this run's rows, which join their pasts."""
        past = self._stored[layer]  # [2, slots, heads, tokens, head_dim]
        slots, places = self._where
        past[:, slots, :, places] = qkv[self._rows, 1:]
        keys, values = past[:, self._slots, :, : self._num_tokens]
        mixed[self._rows] = attend_next(qkv[self._rows, 0], keys, values, self._mask)


def attend_next(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
    """Attention of one new token of each sequence: as queries, which are [rows, heads, head_dim].

    keys, values: [rows, heads, tokens, head_dim]; mask: [rows, 1, 1, tokens].
    """
    rows, heads, head_dim = queries.shape
    if queries.device.type != "cpu" or queries.dtype != torch.float32:
        by_head = queries[:, :, None]
        return F.scaled_dot_product_attention(by_head, keys, values, mask)[:, :, 0]
    # on a CPU two batched products take a third of the time of torch's own attention
    q, k, v = queries.reshape(rows * heads, 1, head_dim), keys.flatten(0, 1), values.flatten(0, 1)
    scores = torch.bmm(q, k.transpose(1, 2)).mul_(1 / math.sqrt(head_dim)).view(rows, heads, 1, -1)
    if mask is not None:
        scores += mask
    return torch.bmm(scores.softmax(-1).flatten(0, 1), v).view(rows, heads, head_dim)


def _runs(slots: Sequence[Slot]) -> list[Run]:
    """The fewest runs of slots that are sorted."""
    starts = [
        row
        for row, slot in enumerate(slots)
        if row == 0
        or slots[row - 1].slab is not slot.slab
        or slots[row - 1].index + 1 != slot.index
    ]
    stops = [*starts[1:], len(slots)]
    return [Run(start, slots[start:stop]) for start, stop in zip(starts, stops, strict=True)]
