"""Protein sequences for the tests."""

import numpy as np
from numpy.typing import NDArray

from primase_server.models.esm2.alphabet import STANDARD_20, tokenize

UBIQUITIN = "MQIFVKTLTGKTITLEVEPSDTIENVKAKIQDKEGIPPDQQRLIFAGKQLEDGRTLSDYNIQKESTLHLVLRLRGG"


def random_sequence(num_residues: int, seed: int = 0) -> str:
    """Residues drawn evenly from the 20 standard ones."""
    letters = np.random.default_rng(seed).choice(list(STANDARD_20), num_residues)
    return "".join(letters)


def mixed_batch() -> list[NDArray[np.int64]]:
    """Ragged token ids: two equal lengths, two masks, every unusual residue, and one residue."""
    masked = UBIQUITIN[:20] + "<mask>" + UBIQUITIN[21:40] + "XBUZO.-<mask>" + UBIQUITIN[:9]
    sequences = [random_sequence(90), masked, UBIQUITIN, UBIQUITIN[::-1], "M"]
    return [tokenize(sequence) for sequence in sequences]
