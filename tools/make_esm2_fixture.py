"""Make the ESM-2 fixture: a tiny seeded checkpoint in the official two-file layout of fair-esm.

    python -m tools.make_esm2_fixture [FOLDER]

The numbers come from raw generator bits and exact arithmetic, so that every machine and every
version of the libraries gives the same ones. Attention is sharp, and norms and biases are off
their defaults: with the usual initial values most mistakes in a model would not show.
"""

import math
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from primase_server.models.esm2.checkpoint import CONTACT_HEAD, TIED_COPY, expected_shapes
from primase_server.models.esm2.config import VARIANTS, Esm2Config
from primase_server.models.esm2.weights import FIXTURE
from tools.normals import Normals

SEED = 20221101


def make_state(config: Esm2Config, seed: int = SEED) -> dict[str, torch.Tensor]:
    """Every tensor of the fixture under fair-esm's stripped name, in float32."""
    normals = Normals(seed)
    shapes = expected_shapes(config)
    del shapes[TIED_COPY]
    state = {name: _tensor(name, shape, normals) for name, shape in shapes.items()}
    state[TIED_COPY] = state["embed_tokens.weight"]
    exponents = torch.arange(0, config.head_dim, 2).float() / config.head_dim
    for index in range(config.num_layers):
        state[f"layers.{index}.self_attn.rot_emb.inv_freq"] = 1.0 / (10000**exponents)
    return state


def save(config: Esm2Config, state: dict[str, torch.Tensor], folder: Path) -> Sequence[Path]:
    """Write the two files of the layout and return their paths."""
    main = folder / FIXTURE.name
    regression = main.with_name(f"{main.stem}-contact-regression.pt")
    namespace = Namespace(
        encoder_layers=config.num_layers,
        encoder_embed_dim=config.width,
        encoder_attention_heads=config.num_heads,
        token_dropout=config.token_dropout,
    )
    trunk = {_prefix(n) + n: t for n, t in state.items() if not n.startswith(CONTACT_HEAD)}
    head = {n: t for n, t in state.items() if n.startswith(CONTACT_HEAD)}
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({"cfg": {"model": namespace}, "model": trunk}, main)
    torch.save({"model": head}, regression)
    return main, regression


def _tensor(name: str, shape: tuple[int, ...], normals: Normals) -> torch.Tensor:
    mean, std = _mean_and_std(name, shape)
    return torch.from_numpy((mean + std * normals.draw(shape)).astype(np.float32))


def _mean_and_std(name: str, shape: tuple[int, ...]) -> tuple[float, float]:
    # powers of two, so that scaling rounds nothing before the one cast to float32
    if name.startswith(CONTACT_HEAD):
        return (-3.0, 0.0) if name.endswith("bias") else (0.0, 1.0)
    if name.endswith("bias"):
        return 0.0, 2**-4
    if "norm" in name:
        return 1.0, 2**-3
    if name.startswith("embed_tokens"):
        return 0.0, 2**-1
    fan_in_std = 2.0 ** -math.ceil(math.log2(shape[1]) / 2)
    return 0.0, 2 * fan_in_std if "q_proj" in name or "k_proj" in name else fan_in_std


def _prefix(name: str) -> str:
    return "encoder." if name.startswith("lm_head") else "encoder.sentence_encoder."


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FIXTURE.parent
    config = VARIANTS["fixture"]
    for path in save(config, make_state(config), folder):
        sys.stdout.write(f"{path} {path.stat().st_size} bytes\n")


if __name__ == "__main__":
    main()
