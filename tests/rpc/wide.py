"""A model of the largest shape that computes nothing: no machine of ours holds its weights."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from primase_server.models.card import Weights, WeightsSource
from primase_server.models.esm2.collector import keep_on
from primase_server.models.esm2.config import VARIANTS
from primase_server.models.esm2.model import Esm2
from primase_server.models.esm2.passes import Esm2Output, require_passes
from primase_server.models.esm2.runner import Esm2Runner

WIDEST = VARIANTS["esm2_t48_15B_UR50D"]
ONE_AS_BITS = np.uint32(0x3F800000)


class WidestRunner(Esm2Runner):
    """ESM-2 15B by its shape; every number tells its layer, residue and column."""

    def __init__(self) -> None:
        shape = SimpleNamespace(
            config=WIDEST,
            contact_head=None,
            lm_head=None,
            dtype=torch.float32,
            device=torch.device("cpu"),
        )
        super().__init__(cast(Esm2, shape), Weights(WeightsSource.RANDOM))

    def run(
        self, payloads: Sequence[object], give_way: Callable[[], None] = keep_on
    ) -> list[Esm2Output]:
        """Per-token vectors of the layers asked for."""
        return [
            Esm2Output(per_token=np.stack([layer_rows(n, work.num_residues) for n in layers]))
            for work in require_passes(payloads)
            for layers in [work.repr_layers]
        ]


def layer_rows(layer: int, num_residues: int) -> NDArray[np.float32]:
    """[num_residues, width]: no number twice, in this layer or in another."""
    num_numbers = num_residues * WIDEST.width
    bits = ONE_AS_BITS + np.arange(num_numbers, dtype=np.uint32) + np.uint32(layer * num_numbers)
    return bits.view(np.float32).reshape(num_residues, WIDEST.width)
