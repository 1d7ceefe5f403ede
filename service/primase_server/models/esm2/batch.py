"""Sequences of a batch laid end to end, with no padding between them, and on a CPU some behind."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from primase_server.models.esm2.passes import Esm2Pass
from primase_server.models.product_rows import product_rows


@dataclass(frozen=True)
class Run:
    """Neighbouring sequences of equal length, which attend in one call.

    `first` is the place in the batch of the first of `count` sequences of `length` tokens, and
    `tokens` their rows of the packed matrix. `watched` says that someone reads the attention
    probabilities of at least one block.
    """

    first: int
    count: int
    length: int
    tokens: slice
    watched: bool


@dataclass(frozen=True, eq=False)
class PackedBatch:
    """The token matrix of a batch.

    token_ids   [rows], those of the tokens and then of nobody
    positions   [rows], counted from 0 at each BOS
    sequences   [rows], the place in the batch of each token's sequence
    lengths     [sequences], in tokens
    runs        cover every row that is a token, in order
    """

    passes: tuple[Esm2Pass, ...]
    token_ids: Tensor
    positions: Tensor
    sequences: Tensor
    lengths: Tensor
    runs: tuple[Run, ...]


def packing_order(passes: Sequence[Esm2Pass]) -> list[int]:
    """Indices of the passes in the order that puts equal lengths next to each other."""
    return sorted(range(len(passes)), key=lambda index: _kind(passes[index]))


def cut(order: Sequence[int], passes: Sequence[Esm2Pass], max_tokens: int) -> list[list[int]]:
    """The indices in pieces of at most that many tokens, or of one longer pass."""
    pieces: list[list[int]] = []
    num_tokens = max_tokens
    for index in order:
        num_tokens += passes[index].num_tokens
        if num_tokens > max_tokens:
            pieces.append([])
            num_tokens = passes[index].num_tokens
        pieces[-1].append(index)
    return pieces


def pack(passes: Sequence[Esm2Pass], device: torch.device) -> PackedBatch:
    """Lay passes, already in packing order, end to end on a device."""
    lengths = np.array([work.num_tokens for work in passes])

    num_tokens = int(lengths.sum())
    num_empty = product_rows(num_tokens) - num_tokens if device.type == "cpu" else 0

    def column(values: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(np.pad(values, (0, num_empty))).to(device)

    return PackedBatch(
        passes=tuple(passes),
        token_ids=column(np.concatenate([work.token_ids for work in passes])),
        positions=column(np.concatenate([np.arange(length) for length in lengths])),
        sequences=column(np.repeat(np.arange(len(passes)), lengths)),
        lengths=torch.from_numpy(lengths).to(device),
        runs=tuple(_runs(passes)),
    )


def _kind(work: Esm2Pass) -> tuple[bool, int]:
    watched = work.contacts or work.attention_profiles or bool(work.attention_maps)
    return watched, work.num_tokens


def _runs(passes: Sequence[Esm2Pass]) -> list[Run]:
    runs: list[Run] = []
    first = start = 0
    for (watched, length), members in groupby(passes, key=_kind):
        count = len(list(members))
        stop = start + count * length
        runs.append(Run(first, count, length, slice(start, stop), watched))
        first, start = first + count, stop
    return runs
