"""Normal numbers that are the same on every machine and with every version of the libraries."""

import numpy as np
from numpy.typing import NDArray

_SUMMANDS = 12  # uniforms whose sum has variance 1


class Normals:
    """A stream of nearly normal numbers: sums of twelve uniforms on [-1/2, 1/2)."""

    def __init__(self, seed: int) -> None:
        self._bits = np.random.PCG64(seed)

    def draw(self, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Mean 0, standard deviation 1."""
        raw = self._bits.random_raw((_SUMMANDS, *shape))
        # 32 bits each: their sum is exact in float64 in any order
        uniform = (raw >> np.uint64(32)).astype(np.float64) / 2**32
        total: NDArray[np.float64] = uniform.sum(axis=0) - _SUMMANDS / 2
        return total
