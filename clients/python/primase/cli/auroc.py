"""Area under the ROC curve, as the Mann-Whitney statistic."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from primase.cli.rank_correlation import average_ranks

NUM_RESAMPLES = 1000
COVERAGE = 0.95
SEED = 0


class Interval(NamedTuple):
    """Where the area lies with a chance of 95 %."""

    low: float
    high: float


def auroc(positives: Sequence[float], negatives: Sequence[float]) -> float | None:
    """Chance that a positive has the higher value than a negative, ties counting half.

    (R - n (n + 1) / 2) / (n m), where R is the sum of the ranks of the n positives among all, and
    equal values share the mean of their ranks. None where there are none of either.
    """
    n, m = len(positives), len(negatives)
    if not (n and m):
        return None
    ranks = average_ranks(np.concatenate([positives, negatives]))
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * m))


def bootstrap_interval(positives: Sequence[float], negatives: Sequence[float]) -> Interval | None:
    """Percentiles of the area over 1,000 samples of each side with replacement, the same each time.

    None where there are none of either.
    """
    n, m = len(positives), len(negatives)
    if not (n and m):
        return None
    # Every value by its place among the different ones: sorted once, counted for each sample.
    values, places = np.unique(np.concatenate([positives, negatives]), return_inverse=True)
    random = np.random.default_rng(SEED)
    areas = np.empty(NUM_RESAMPLES)
    for sample in range(NUM_RESAMPLES):
        drawn = places[:n][random.integers(n, size=n)], places[n:][random.integers(m, size=m)]
        ours, theirs = (np.bincount(some, minlength=len(values)) for some in drawn)
        below = theirs.cumsum() - theirs
        areas[sample] = (ours @ (below + theirs / 2)) / (n * m)
    low, high = np.quantile(areas, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return Interval(float(low), float(high))
