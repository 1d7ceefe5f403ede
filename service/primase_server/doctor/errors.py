"""How far a device's numbers may be from the official code's."""

import numpy as np

MAX_ERROR = 1e-4
"""Of float32: the largest difference over the largest number, the worst of all outputs."""


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    """max |found - expected| / max |expected|."""
    return float(np.abs(found - expected).max() / np.abs(expected).max())
