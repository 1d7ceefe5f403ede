"""Long sequences read as overlapping windows, and the weights that blend them."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WINDOW_RESIDUES = 1022
"""Residues of the longest crop the models were trained on."""

MIN_OVERLAP_RESIDUES = 511
SIGMOID_RESIDUES = 20.0


@dataclass(frozen=True, eq=False)
class Windows:
    """Half-open residue ranges [start, stop) that cover a sequence, ascending.

    `weights[i]` is [stop - start] of window i; at each position the weights of its windows sum
    to 1.
    """

    starts: Sequence[int]
    stops: Sequence[int]
    weights: Sequence[NDArray[np.float64]]

    def containing(self, position: int) -> range:
        """Indices of the windows that hold a position."""
        return range(bisect_right(self.stops, position), bisect_right(self.starts, position))

    def spans(self) -> Iterator[tuple[int, int]]:
        """(start, stop) of each window."""
        return zip(self.starts, self.stops, strict=True)


def cover(num_residues: int) -> Windows:
    """Windows of 1,022 residues spread evenly, neighbours sharing at least 511.

    Within a window the weight climbs as a sigmoid over the first quarter and falls over the last
    one, but for the ends of the sequence (Brandes et al., Nature Genetics 2023; their
    `esm_variants_utils.py` uses the same ramp, with windows laid from both ends to the middle).
    """
    step = WINDOW_RESIDUES - MIN_OVERLAP_RESIDUES
    spare = max(0, num_residues - WINDOW_RESIDUES)
    num_steps = -(-spare // step)
    starts = [round(spare * index / num_steps) for index in range(num_steps)] + [spare]
    stops = [min(start + WINDOW_RESIDUES, num_residues) for start in starts]
    raw = [
        _ramps(stop - start, climbs=start > 0, falls=stop < num_residues)
        for start, stop in zip(starts, stops, strict=True)
    ]
    total = np.zeros(num_residues)
    for start, stop, weight in zip(starts, stops, raw, strict=True):
        total[start:stop] += weight
    weights = [
        weight / total[start:stop] for start, stop, weight in zip(starts, stops, raw, strict=True)
    ]
    return Windows(starts, stops, weights)


def _ramps(length: int, *, climbs: bool, falls: bool) -> NDArray[np.float64]:
    quarter = round(MIN_OVERLAP_RESIDUES / 2)
    ramp = 1 / (1 + np.exp(-(np.arange(quarter) - quarter / 2) / SIGMOID_RESIDUES))
    weight = np.ones(length)
    if climbs:
        weight[:quarter] = ramp
    if falls:
        weight[-quarter:] = ramp[::-1]
    return weight
