"""Rows of a layer reduced over positions, chunk by chunk, where the rows are."""

from dataclasses import dataclass, replace
from enum import Enum
from typing import Protocol

import torch
from torch import Tensor


class Pooling(Enum):
    """What is kept of the positions of a layer; WINDOW is the mean over each window."""

    NONE = "none"
    MEAN = "mean"
    LAST = "last"
    FIRST = "first"
    WINDOW = "window"


class Pool(Protocol):
    """What the positions read so far have come to. Never changed: a new one comes of more rows."""

    def after(self, rows: Tensor, *, is_last: bool) -> "tuple[Pool, Tensor]":
        """The pool after rows [n, width], and what is complete with them: float32 [k, width].

        `is_last`: no more rows come.
        """


def new_pool(pooling: Pooling, window: int) -> Pool:
    """A pool of that kind which has seen nothing; `window` positions for WINDOW."""
    if pooling is Pooling.NONE:
        return Everything()
    if pooling is Pooling.FIRST:
        return First()
    if pooling is Pooling.LAST:
        return Last()
    return Windows(window if pooling is Pooling.WINDOW else None)


@dataclass(frozen=True)
class Everything:
    """Every row, as it comes."""

    def after(self, rows: Tensor, *, is_last: bool) -> tuple[Pool, Tensor]:
        return self, rows.float()


@dataclass(frozen=True)
class First:
    """The first row."""

    is_done: bool = False

    def after(self, rows: Tensor, *, is_last: bool) -> tuple[Pool, Tensor]:
        return First(is_done=True), rows[: 0 if self.is_done else 1].float()


@dataclass(frozen=True)
class Last:
    """The last row."""

    def after(self, rows: Tensor, *, is_last: bool) -> tuple[Pool, Tensor]:
        return self, rows[-1 if is_last else len(rows) :].float()


@dataclass(frozen=True, eq=False)
class Windows:
    """The mean of every `size` rows, or of all of them; the last window may be shorter.

    Of the window that is open, `total` is the sum in float64, [width], over `num_rows`.
    """

    size: int | None
    total: Tensor | None = None
    num_rows: int = 0

    def after(self, rows: Tensor, *, is_last: bool) -> tuple[Pool, Tensor]:
        pool = self
        complete = [rows.new_zeros(0, rows.shape[1], dtype=torch.float32)]
        if self.size is not None and self.num_rows + len(rows) >= self.size:
            if self.num_rows:
                needed = self.size - self.num_rows
                pool = pool._take(rows[:needed])._close(complete)
                rows = rows[needed:]
            whole = len(rows) // self.size
            inside = rows[: whole * self.size].view(whole, self.size, rows.shape[1])
            complete.append(inside.mean(dim=1, dtype=torch.float32))
            rows = rows[whole * self.size :]
        pool = pool._take(rows)
        if is_last and pool.num_rows:
            pool = pool._close(complete)
        return pool, torch.cat(complete)

    def _take(self, rows: Tensor) -> "Windows":
        if not len(rows):
            return self
        total = rows.sum(dim=0, dtype=torch.float32).double()
        if self.total is not None:
            total += self.total
        return replace(self, total=total, num_rows=self.num_rows + len(rows))

    def _close(self, complete: list[Tensor]) -> "Windows":
        if self.total is None:
            raise ValueError("a window without rows has no mean")
        complete.append((self.total / self.num_rows).float()[None])
        return Windows(self.size)
