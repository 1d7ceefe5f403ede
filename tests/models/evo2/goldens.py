"""Outputs of the official code, stored, on weights that are stored with them."""

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from primase_server.models.evo2.model import Evo2
from primase_server.models.evo2.weights import LocalWeights, load

REPOSITORY = Path(__file__).parents[3]
DEFAULT_FOLDER = REPOSITORY.parent / "shared/goldens/vortex"
FOLDER = Path(os.environ.get("PRIMASE_VORTEX_GOLDENS_DIR", DEFAULT_FOLDER))

INTERPOLATED, PLAIN = "tiny_7b1m", "tiny_8k"


@cache
def golden(name: str, file: str) -> Mapping[str, Tensor]:
    """The arrays of one file."""
    with np.load(FOLDER / name / file, allow_pickle=False) as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays.files}


@cache
def model(name: str) -> Evo2:
    """Ours, with the weights of a folder."""
    return load(LocalWeights(FOLDER / name)).model
