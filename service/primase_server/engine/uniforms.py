"""Random numbers by name: the same (seed, item, sample, position) always gives the same number.

Philox4x32-10 (Salmon, Moraes, Dror and Shaw 2011): a counter is mixed with a key, so that no state
is kept, and a sequence that goes on elsewhere draws as it would have here.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_MULTIPLIERS = np.array([0xD2511F53, 0xCD9E8D57], dtype=np.uint64)
_WEYL = np.array([0x9E3779B9, 0xBB67AE85], dtype=np.uint32)
_ROUNDS = 10
_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)

Name = tuple[int, int, int, int]
"""seed (64 bits), item, sample (32 bits each) and position (64 bits)."""


def uniforms(names: Sequence[Name]) -> NDArray[np.float64]:
    """One number in [0, 1) for each name, with 53 random bits."""
    numbers = np.array([_words(name) for name in names], dtype=np.uint32).reshape(-1, 6)
    words = philox(numbers[:, :4], numbers[:, 4:]).astype(np.uint64)
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


def _words(name: Name) -> tuple[int, ...]:
    seed, item, sample, position = name
    counter = (position & 0xFFFFFFFF, position >> 32, item, sample)
    return (*counter, seed & 0xFFFFFFFF, seed >> 32)
