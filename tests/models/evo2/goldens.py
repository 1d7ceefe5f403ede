"""Outputs of the official code, stored, on weights that are stored with them."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from primase_server.models.evo2.model import Evo2
from primase_server.models.evo2.weights import LocalWeights, load
from tests.outside import outside

INTERPOLATED, PLAIN = "tiny_7b1m", "tiny_8k"


def folder(name: str) -> Path:
    """Of one model."""
    return outside(f"goldens/vortex/{name}")


@cache
def golden(name: str, file: str) -> Mapping[str, Tensor]:
    """The arrays of one file."""
    with np.load(folder(name) / file, allow_pickle=False) as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays.files}


@cache
def model(name: str) -> Evo2:
    """Ours, with the weights of a folder."""
    return load(LocalWeights(folder(name))).model
