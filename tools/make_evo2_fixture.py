"""Make the Evo 2 fixture: a tiny seeded checkpoint in the official layout, leftovers included.

    python -m tools.make_evo2_fixture [FOLDER]

Its blocks are those of the 1B model; its numbers follow `random_state.py`, from raw generator bits.
"""

import io
import sys
from pathlib import Path

import torch

from primase_server.models.evo2.checkpoint import EXTRA_STATE, expected_shapes
from primase_server.models.evo2.config import VARIANTS, Evo2Config
from primase_server.models.evo2.random_state import spread
from primase_server.models.evo2.weights import FIXTURE
from tools.normals import Normals

SEED = 20250219


def make_state(config: Evo2Config, seed: int = SEED) -> dict[str, object]:
    """Every entry of the file under its official name."""
    normals = Normals(seed)
    state: dict[str, object] = {}
    for name, shape in expected_shapes(config).items():
        state[name] = spread(name, torch.from_numpy(normals.draw(shape)))
        if name.endswith("projections.weight"):
            state[name.removesuffix(".weight") + EXTRA_STATE] = _extra_state()
    state["unembed.weight"] = state["embedding_layer.weight"]
    for layer in config.attention_layers:
        for part in ("attn", "dense"):
            state[f"blocks.{layer}.mixer.{part}{EXTRA_STATE}"] = _extra_state()
    return state


def save(state: dict[str, object], folder: Path) -> Path:
    """Write the file of the layout and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FIXTURE.name
    torch.save(state, path)
    return path


def _extra_state() -> io.BytesIO:
    # scales of 1, as Transformer Engine writes them
    buffer = io.BytesIO()
    torch.save({"scale_fwd": torch.ones(3), "scale_inv_fwd": torch.ones(3)}, buffer)
    return buffer


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FIXTURE.parent
    path = save(make_state(VARIANTS["evo2_fixture"]), folder)
    sys.stdout.write(f"{path} {path.stat().st_size} bytes\n")


if __name__ == "__main__":
    main()
