"""Keeps what a piece of reads wants of the layers while the model runs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from primase_server.models.evo2.layers import LOGITS
from primase_server.models.evo2.passes import Float32Array, Read
from primase_server.models.evo2.pooling import Pool, Pooling, new_pool
from primase_server.models.evo2.predictions import BLOCK_ROWS, ToLogits
from primase_server.models.evo2.tokens import BASE_IDS


def keep_on() -> None:
    """For a batch that gives way to nothing."""


@dataclass(eq=False)
class Kept:
    """What one read has come to: pools by tap, and the rows that are complete, on the CPU."""

    read: Read
    rows: slice
    pools: dict[str, Pool] = field(default_factory=dict)
    complete: dict[str, list[Tensor]] = field(default_factory=dict)

    def take(self, tap: str, rows: Tensor, *, is_last: bool) -> None:
        """Pool rows [k, width] of the read, and keep what is complete with them."""
        options = self.read.tap_options
        pool = self.pools.get(tap) or self.read.carry.pools.get(tap)
        if pool is None:
            pool = new_pool(options.pooling, options.window)
        self.pools[tap], complete = pool.after(rows, is_last=is_last)
        # to the CPU at once, and a copy even there: the model goes on in the same memory
        kept = torch.empty(complete.shape, dtype=torch.float32).copy_(complete)
        self.complete.setdefault(tap, []).append(kept)

    def take_blocks(self, tap: str, blocks: Iterator[Tensor]) -> None:
        """The same of rows that come block by block; where all are kept, in their place at once."""
        num_rows, num_taken = len(self.read.token_ids), 0
        room: Tensor | None = None
        for block in blocks:
            stop = num_taken + len(block)
            if self.read.tap_options.pooling is not Pooling.NONE:
                self.take(tap, block, is_last=self.read.is_last and stop == num_rows)
            else:
                if room is None:
                    room = torch.empty(num_rows, block.shape[1])
                    self.complete[tap] = [room]
                room[num_taken:stop] = block
            num_taken = stop

    def layers(self) -> Mapping[str, Float32Array]:
        """Complete rows by tap: float32 [k, width]."""
        return {
            tap: (parts[0] if len(parts) == 1 else torch.cat(parts)).numpy()
            for tap, parts in self.complete.items()
        }


class Collector:
    """The observer of one piece: reads of equal depth whose rows lie end to end.

    `give_way` is called between blocks: the model may run other pieces meanwhile.
    """

    def __init__(
        self, reads: Sequence[Read], depth: int, give_way: Callable[[], None] = keep_on
    ) -> None:
        self.depth = depth
        self._give_way = give_way
        self._ends_of_blocks = {f"blocks.{block}" for block in range(depth)}
        self.kept = [Kept(read, rows) for read, rows in _placed(reads)]
        self._taps = {tap for read in reads for tap in read.taps} - {LOGITS}

    def wants(self, name: str) -> bool:
        """Whether any read has this tap; asked by the name of a block once that is through."""
        if name in self._ends_of_blocks:
            self._give_way()
        return name in self._taps

    def take(self, name: str, rows: Tensor) -> None:
        """Keep what is wanted of rows: [tokens of the piece, width]."""
        for kept in self.kept:
            if name in kept.read.taps:
                kept.take(name, rows[kept.rows], is_last=kept.read.is_last)

    def take_logits(self, to_logits: ToLogits, rows: Tensor) -> None:
        """Keep what is wanted of the logits of rows: [tokens, width], some rows at a time."""
        for kept in self.kept:
            if LOGITS in kept.read.taps:
                kept.take_blocks(LOGITS, _logits_of(kept.read, to_logits, rows[kept.rows]))


def _logits_of(read: Read, to_logits: ToLogits, rows: Tensor) -> Iterator[Tensor]:
    for start in range(0, len(rows), BLOCK_ROWS):
        logits = to_logits(rows[start : start + BLOCK_ROWS])
        yield logits if read.tap_options.all_logits else logits[:, list(BASE_IDS)]


def _placed(reads: Sequence[Read]) -> Iterator[tuple[Read, slice]]:
    start = 0
    for read in reads:
        stop = start + len(read.token_ids)
        yield read, slice(start, stop)
        start = stop
