"""A decoding step in pieces, and the rows that it runs over."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from primase_server.models.evo2.model import Block, Evo2, rms_norm
from primase_server.models.evo2.slot_attention import Attending
from primase_server.models.evo2.slot_filters import Filtering
from primase_server.models.evo2.slot_rows import Rows
from primase_server.models.evo2.traces import Kind
from primase_server.models.linear import gelu_

Mixing = Filtering | Attending


@dataclass(frozen=True)
class Piece:
    """From the out-product of one attention to the queries, keys and values of the next.

    `after` and `before` are None at the ends, where the embedding is and where the logits are.
    """

    model: Evo2
    after: tuple[Block, Attending] | None
    filterings: tuple[tuple[Block, Filtering], ...]
    before: tuple[Block, Attending] | None

    def __call__(self, lane: "Lane") -> Tensor:
        """What the next attention asks: [rows, 3, heads, 1, head_dim]; or the logits."""
        if self.after is None:
            rows = lane.rows[self.model.embedding.device]
            rows.x.copy_(F.embedding(rows.token_ids, self.model.embedding))
        else:
            block, attending = self.after
            rows = lane.rows[device_of(block)]
            rows.x += attending.out(rows)
            _feed_forward(block, rows)
        for block, filtering in self.filterings:
            rows = lane.moved(rows, device_of(block))
            rows.x += filtering.mix(rms_norm(rows.x, block.pre_norm, block.eps), rows)
            _feed_forward(block, rows)
        if self.before is not None:
            block, attending = self.before
            rows = lane.moved(rows, device_of(block))
            h = rms_norm(rows.x, block.pre_norm, block.eps)
            return attending.queries_keys_values(h, rows)
        model = self.model
        return model.logits(rms_norm(rows.x, model.final_norm, model.config.eps))


class Lane:
    """So many rows on every device, and the pieces of a step over them.

    kind: what lanes like this one share, where pieces are traced.
    """

    def __init__(
        self,
        model: Evo2,
        num_rows: int,
        devices: Sequence[torch.device],
        view: slice | None,
        filterings: Sequence[Filtering],
        kind: Kind | None,
    ) -> None:
        width, dtype = model.config.width, model.dtype
        self._filterings = filterings
        self._config = model.config
        self.rows = {device: Rows(num_rows, width, dtype, device, view) for device in devices}
        self.pieces: list[Callable[[], Tensor]] = []
        self._kind = kind

    def load(self, inputs: Tensor) -> None:
        """inputs: int64 [3, rows] of the CPU: token ids, slots and positions."""
        if self._kind is not None:
            self._kind.begin()
        for rows in self.rows.values():
            rows.load(inputs)

    def run(self, index: int) -> Tensor:
        """What a piece makes of what is loaded."""
        piece = self.pieces[index]
        return piece() if self._kind is None else self._kind.run(index, piece, self._given)

    @cached_property
    def _given(self) -> Sequence[Tensor]:
        [rows] = self.rows.values()
        pasts = (past for filtering in self._filterings for past in filtering.pasts)
        return [*rows.changing, *(tensor for past in pasts for tensor in rows.tensors_of(past))]

    def turn(self, rotaries: Sequence[Tensor]) -> None:
        """Fill in what depends on the positions."""
        for rows in self.rows.values():
            rows.turn(self._config, rotaries)

    def work(self, piece: Piece, rotaries: Sequence[Tensor]) -> Callable[[], Tensor]:
        """A piece over these rows; the first also makes what all others know of the positions."""
        if piece.after is not None:
            return lambda: piece(self)

        def first() -> Tensor:
            self.turn(rotaries)
            return piece(self)

        return first

    def moved(self, rows: Rows, device: torch.device) -> Rows:
        """The rows on that device, with what is in the residual stream."""
        if rows.device == device:
            return rows
        there = self.rows[device]
        there.x.copy_(rows.x)
        return there


def _feed_forward(block: Block, rows: Rows) -> None:
    mlp = block.mlp
    first, second = mlp.up(rms_norm(rows.x, block.post_norm, block.eps)).chunk(2, dim=1)
    rows.x += mlp.down((gelu_(first) if mlp.has_gelu else first) * second)


def pieces_of(model: Evo2, mixings: Sequence[Mixing]) -> list[Piece]:
    pieces: list[Piece] = []
    after: tuple[Block, Attending] | None = None
    filterings: list[tuple[Block, Filtering]] = []
    for block, mixing in zip(model.blocks, mixings, strict=True):
        if isinstance(mixing, Filtering):
            filterings.append((block, mixing))
            continue
        pieces.append(Piece(model, after, tuple(filterings), (block, mixing)))
        after, filterings = (block, mixing), []
    return [*pieces, Piece(model, after, tuple(filterings), None)]


def device_of(block: Block) -> torch.device:
    """By its full name: that of the block may leave out which of several."""
    return block.pre_norm.device
