"""How much of a protein lies in stretches of few different residues.

The first stage of SEG (Wootton and Federhen 1993, Computers and Chemistry 17:149) with its usual
parameters for proteins: every window of 12 residues whose entropy is at most 2.2 bits, and the
windows of at most 2.5 bits that follow one another up to it from either side. SEG's second stage,
which shortens each stretch to its least probable part, is left out.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

WINDOW_RESIDUES = 12
TRIGGER_BITS = 2.2
EXTENSION_BITS = 2.5

_COUNTS = np.arange(WINDOW_RESIDUES + 1)
_SHARES = _COUNTS / WINDOW_RESIDUES
# of a letter that is there so many times
_BITS = -_SHARES * np.log2(np.maximum(_SHARES, 1 / WINDOW_RESIDUES))


def low_complexity_fraction(sequence: str) -> float:
    """Share of residues in low-complexity stretches, 0 to 1; 0 of less than one window."""
    if len(sequence) < WINDOW_RESIDUES:
        return 0.0
    return float(_is_low(sequence).mean())


def window_entropies(sequence: str) -> NDArray[np.float64]:
    """Shannon entropy in bits of the letters of every window: [residues - 11]."""
    letters = np.frombuffer(sequence.encode("ascii"), dtype=np.uint8)
    is_letter = letters[None] == np.unique(letters)[:, None]  # [letters, residues]
    sums = np.pad(is_letter.cumsum(axis=1), ((0, 0), (1, 0)))
    counts = sums[:, WINDOW_RESIDUES:] - sums[:, :-WINDOW_RESIDUES]
    entropies: NDArray[np.float64] = _BITS[counts].sum(axis=0)
    return entropies


def _is_low(sequence: str) -> NDArray[np.bool_]:
    """Of every residue, whether it is in such a stretch."""
    entropies = window_entropies(sequence)
    is_low = np.zeros(len(sequence), dtype=np.bool_)
    for start, stop in _runs(entropies <= EXTENSION_BITS):
        if entropies[start:stop].min() <= TRIGGER_BITS:
            is_low[start : stop - 1 + WINDOW_RESIDUES] = True
    return is_low


def _runs(is_in: NDArray[np.bool_]) -> Sequence[tuple[int, int]]:
    """Where each row of neighbours begins and ends."""
    edges = np.flatnonzero(np.diff(np.pad(is_in.astype(np.int8), 1)))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]
