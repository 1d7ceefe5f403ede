"""Log-probabilities over the 20 standard residues."""

import numpy as np
from numpy.typing import NDArray

from primase_server.models.esm2.alphabet import STANDARD_COLUMNS

Float64Array = NDArray[np.float64]


def standard_log_probabilities(logits: NDArray[np.float32]) -> Float64Array:
    """Log-softmax over the 20 standard columns only; [rows, 33] -> [rows, 20]."""
    standard = logits[:, STANDARD_COLUMNS].astype(np.float64)
    shifted = standard - standard.max(axis=1, keepdims=True)
    result: Float64Array = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result
