"""Random numbers by name: the same (seed, item, sample, position) always gives the same number.

Philox4x32-10 (Salmon, Moraes, Dror and Shaw 2011): a counter is mixed with a key, so that no state
is kept, and a sequence that goes on elsewhere draws as it would have here.
"""

import numpy as np
from numpy.typing import NDArray

_MULTIPLIERS = np.array([0xD2511F53, 0xCD9E8D57], dtype=np.uint64)
_WEYL = np.array([0x9E3779B9, 0xBB67AE85], dtype=np.uint32)
_ROUNDS = 10
_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)

NUM_AHEAD = 256
"""Numbers made together: of one alone nearly all the cost is in calling numpy."""


class Numbers:
    """The random numbers of one sample, by position; some are made ahead, none depends on that."""

    def __init__(self, seed: int, item: int, sample: int) -> None:
        self._name = seed, item, sample
        self._first = -1
        self._made: list[float] = []

    def at(self, position: int) -> float:
        """In [0, 1)."""
        first = position - position % NUM_AHEAD
        if first != self._first:
            self._first, self._made = first, uniforms(*self._name, first, NUM_AHEAD).tolist()
        return self._made[position - first]


def uniforms(seed: int, item: int, sample: int, first: int, count: int) -> NDArray[np.float64]:
    """The numbers at so many positions from the first on, each in [0, 1) with 53 random bits.

    seed and positions have 64 bits, item and sample 32.
    """
    positions = np.uint64(first) + np.arange(count, dtype=np.uint64)
    counters = np.empty((count, 4), dtype=np.uint32)
    counters[:, 0], counters[:, 1] = positions & _LOW, positions >> _SHIFT
    counters[:, 2], counters[:, 3] = item, sample
    keys = np.empty((count, 2), dtype=np.uint32)
    keys[:, 0], keys[:, 1] = seed & 0xFFFFFFFF, seed >> 32
    words = philox(counters, keys).astype(np.uint64)
    bits = (words[:, 0] << np.uint64(21)) ^ (words[:, 1] >> np.uint64(11))
    return bits.astype(np.float64) * 2.0**-53


def philox(counters: NDArray[np.uint32], keys: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """counters: [n, 4], keys: [n, 2] -> [n, 4] random words."""
    words, key = counters.copy(), keys.copy()
    for _ in range(_ROUNDS):
        products = words[:, ::2].astype(np.uint64) * _MULTIPLIERS
        high = (products >> _SHIFT).astype(np.uint32)
        low = (products & _LOW).astype(np.uint32)
        words[:, 0] = high[:, 1] ^ words[:, 1] ^ key[:, 0]
        words[:, 2] = high[:, 0] ^ words[:, 3] ^ key[:, 1]
        words[:, 1], words[:, 3] = low[:, 1], low[:, 0]
        key += _WEYL
    return words
