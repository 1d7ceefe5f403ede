"""Spearman's rank correlation."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray


def spearman(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Pearson's correlation of the ranks; None where either has fewer than two values."""
    if len(first) != len(second):
        raise ValueError(f"{len(first)} values beside {len(second)}")
    x, y = average_ranks(first), average_ranks(second)
    x, y = x - x.mean() if x.size else x, y - y.mean() if y.size else y
    scale = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / scale if scale else None


def average_ranks(values: ArrayLike) -> NDArray[np.float64]:
    """Ranks from 1; equal values share the mean of theirs."""
    _, places, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    last_ranks = counts.cumsum()
    ranks: NDArray[np.float64] = (last_ranks - (counts - 1) / 2)[places]
    return ranks
