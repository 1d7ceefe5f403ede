"""Seeded random weights in the true architecture, for load tests and development."""

import hashlib
import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from primase_server.models.progen2.checkpoint import EMBEDDING, HEAD, expected_shapes
from primase_server.models.progen2.config import ProGen2Config
from primase_server.models.progen2.tokens import C_TERMINUS_ID, LETTER_COLUMNS, N_TERMINUS_ID

_LOGIT_STD = 1.5
_SHARPNESS = 2.0  # of queries and keys, so that attention is neither flat nor a single key
_DEAD_LOGIT = -4.0  # of what a trained model never draws
_TERMINAL_LOGIT = -2.5  # so that proteins are some hundred residues long


class RandomState(Mapping[str, Tensor]):
    """Tensors under their official names, each made when it is read, from (seed, name) alone."""

    def __init__(self, config: ProGen2Config, seed: int) -> None:
        self._config, self._seed = config, seed
        self._shapes = expected_shapes(config)

    def __getitem__(self, name: str) -> Tensor:
        digest = hashlib.sha256(f"{self._seed}:{name}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
        return spread(name, torch.randn(self._shapes[name], generator=generator), self._config)

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)


def spread(name: str, noise: Tensor, config: ProGen2Config) -> Tensor:
    """Standard normal noise turned into the tensor of that name.

    The scales make mistakes visible and work true: attention is sharp, norms and biases are off
    their defaults, terminals are rare, and the residual stream keeps its size at any depth.
    """
    if name == "lm_head.bias":
        return 0.2 * noise + _columns(len(noise), noise)
    if name.endswith("bias"):
        return 0.05 * noise
    if ".ln_" in name:
        return 1 + 0.05 * noise
    if name == EMBEDDING:
        return 0.5 * noise
    fan_in_std = 1 / math.sqrt(noise.shape[-1])
    if name == HEAD:
        return _LOGIT_STD * fan_in_std * noise
    if name.endswith("qkv_proj.weight"):
        return math.sqrt(_SHARPNESS) * fan_in_std * noise
    if name.endswith(("out_proj.weight", "fc_out.weight")):
        return fan_in_std / math.sqrt(config.num_layers) * noise
    return fan_in_std * noise


def _columns(num_columns: int, like: Tensor) -> Tensor:
    logits = like.new_full((num_columns,), _DEAD_LOGIT)
    logits[LETTER_COLUMNS] = 0.0
    logits[[N_TERMINUS_ID, C_TERMINUS_ID]] = _TERMINAL_LOGIT
    return logits
