"""Small seeded checkpoints in the official layout: two buffers in each block, and the odd shapes.

Matrices are N(0, 1/in), the embedding N(0, 1/4), norms near 1, and no bias is 0.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from primase_server.models.progen2.checkpoint import EMBEDDING, expected_shapes
from primase_server.models.progen2.config import ProGen2Config
from primase_server.models.progen2.model import ProGen2
from primase_server.models.progen2.weights import LocalWeights, load
from tools.make_progen2_fixture import official_config, save

SHAPES: Mapping[str, ProGen2Config] = {
    "H 16, D 12, R 8": ProGen2Config(3, 192, 16, 768, 8, 64),
    "H 32, D 8, R 4": ProGen2Config(3, 256, 32, 1024, 4, 64),
    "H 8, D 8, R 8": ProGen2Config(3, 64, 8, 256, 8, 64),
}
"""In the last one the whole head is turned."""

MAIN = SHAPES["H 16, D 12, R 8"]
LARGE_VOCABULARY = replace(SHAPES["H 8, D 8, R 8"], vocabulary_size=51200, output_size=51200)
SEED = 0


def make_state(config: ProGen2Config, seed: int = SEED) -> dict[str, Tensor]:
    """Every entry of the official file."""
    generator = torch.Generator().manual_seed(seed)
    state = {
        name: _spread(name, torch.randn(shape, generator=generator))
        for name, shape in expected_shapes(config).items()
    }
    mask = torch.ones(config.max_tokens, config.max_tokens, dtype=torch.bool).tril()
    for layer in range(config.num_layers):
        state[f"transformer.h.{layer}.attn.bias"] = mask[None, None]
        state[f"transformer.h.{layer}.attn.masked_bias"] = torch.tensor(-1e9)
    return state


def write(folder: Path, config: ProGen2Config = MAIN, **changed: object) -> Path:
    """The two files of a checkpoint; `changed` are other values in `config.json`."""
    save({**official_config(config), **changed}, make_state(config), folder)
    return folder


@cache
def state(config: ProGen2Config = MAIN) -> Mapping[str, Tensor]:
    """The same entries, made once."""
    return make_state(config)


@cache
def ours(config: ProGen2Config = MAIN) -> ProGen2:
    """Our model, read from files."""
    with tempfile.TemporaryDirectory() as folder:
        return load(LocalWeights(write(Path(folder), config))).model


def _spread(name: str, noise: Tensor) -> Tensor:
    if name == EMBEDDING:
        return 0.5 * noise
    if name.endswith("bias"):
        return 0.05 * noise
    if ".ln_" in name:
        return 1 + 0.05 * noise
    found: Tensor = noise / noise.shape[1] ** 0.5
    return found
