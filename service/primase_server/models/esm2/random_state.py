"""Seeded random weights in the true architecture, for load tests and development."""

import hashlib
import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from primase_server.models.esm2.checkpoint import TIED_COPY, expected_shapes
from primase_server.models.esm2.config import Esm2Config

_LOGIT_STD = 3.0
_SHARPNESS = 2.0  # of queries and keys, so that attention is neither flat nor a single key


class RandomState(Mapping[str, Tensor]):
    """Tensors under fair-esm's names, each made when it is read, from (seed, name) alone.

    The scales keep the residual stream and the logits near 1 to 3 at any depth, as a trained
    model's are: the model then does the arithmetic of real work, with neither overflow nor
    denormals.
    """

    def __init__(self, config: Esm2Config, seed: int) -> None:
        self._config, self._seed = config, seed
        self._shapes = expected_shapes(config)
        del self._shapes[TIED_COPY]

    def __getitem__(self, name: str) -> Tensor:
        digest = hashlib.sha256(f"{self._seed}:{name}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
        noise = torch.randn(self._shapes[name], generator=generator)
        mean, std = self._mean_and_std(name)
        return noise.mul_(std).add_(mean)

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)

    def _mean_and_std(self, name: str) -> tuple[float, float]:
        width, num_layers = self._config.width, self._config.num_layers
        if name.startswith("contact_head"):
            return (-3.0, 0.0) if name.endswith("bias") else (0.0, 1.0)
        if "norm" in name:
            return (0.0, 0.05) if name.endswith("bias") else (1.0, 0.1)
        if name.endswith("bias"):
            return 0.0, 0.05
        fan_in_std = 1 / math.sqrt(self._shapes[name][-1])
        if name.startswith("embed_tokens"):
            return 0.0, _LOGIT_STD / math.sqrt(width)
        if "q_proj" in name or "k_proj" in name:
            return 0.0, math.sqrt(_SHARPNESS) * fan_in_std
        if "out_proj" in name or "fc2" in name:
            return 0.0, fan_in_std / math.sqrt(2 * num_layers)
        return 0.0, fan_in_std
