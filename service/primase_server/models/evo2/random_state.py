"""Seeded random weights in the true architecture, for load tests and development."""

import hashlib
import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from primase_server.models.evo2.checkpoint import FLOAT32_PARTS, expected_shapes
from primase_server.models.evo2.config import Evo2Config

_FASTEST_POLE, _SLOWEST_POLE = 2.0, 5e-4  # decay per token of a mode
_MEDIUM_TOKENS = 40  # in which the taps of HCM fall to 1/e
_ROTARY_BASE = 10_000.0

_STD = {
    "embedding_layer.weight": 0.3,
    "out_proj.bias": 0.1,
    "out_filter_dense.bias": 0.1,
    "filter.short_filter_weight": 0.5,
    "filter.h": 0.4,
    "filter.residues": 0.1,
    "filter.D": 0.5,
}
_GAIN = {"projections.weight": math.sqrt(2), "Wqkv.weight": 2.0}  # of 1 / sqrt(inputs)


class RandomState(Mapping[str, Tensor]):
    """Tensors under their official names, each made when it is read, from (seed, name) alone."""

    def __init__(self, config: Evo2Config, seed: int) -> None:
        self._seed = seed
        self._shapes = expected_shapes(config)

    def __getitem__(self, name: str) -> Tensor:
        digest = hashlib.sha256(f"{self._seed}:{name}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
        return spread(name, torch.randn(self._shapes[name], generator=generator))

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)


def spread(name: str, noise: Tensor) -> Tensor:
    """Standard normal noise turned into the tensor of that name, in the dtype of the files.

    The scales make mistakes visible: attention is sharp, norms and biases are off their defaults,
    and the modes of a long filter last from a token to thousands. Poles are -exp of a uniform.
    """
    tensor = _spread(name, noise)
    return tensor.float() if name.endswith(FLOAT32_PARTS) else tensor.to(torch.bfloat16)


def _spread(name: str, noise: Tensor) -> Tensor:
    if name.endswith("inv_freq"):
        exponents = torch.arange(len(noise), dtype=torch.float64) / len(noise)
        return _ROTARY_BASE**-exponents
    if name.endswith("log_poles"):
        uniform = (1 + torch.erf(noise / math.sqrt(2))) / 2
        low, high = math.log(_SLOWEST_POLE), math.log(_FASTEST_POLE)
        return -torch.exp(low + (high - low) * uniform)
    if name.endswith(".scale"):
        return 1 + 0.1 * noise
    if name.endswith("filter.h") and noise.shape[-1] > _MEDIUM_TOKENS:
        return 0.3 * noise * torch.exp(-torch.arange(noise.shape[-1]) / _MEDIUM_TOKENS)
    return noise * _std(name, noise)


def _std(name: str, noise: Tensor) -> float:
    for end, std in _STD.items():
        if name.endswith(end):
            return std
    gain = next((gain for end, gain in _GAIN.items() if name.endswith(end)), 1.0)
    return gain / math.sqrt(noise.shape[-1])
