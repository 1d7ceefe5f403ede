"""Make the ProGen2 fixture: a tiny seeded checkpoint in the official layout.

    python -m tools.make_progen2_fixture [FOLDER]

Its numbers follow `random_state.py`, from raw generator bits. The buffers of the official files,
which nobody reads, are left out: with 1,024 positions they would be most of it.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from primase_server.models.hub_layout import CONFIG
from primase_server.models.progen2.checkpoint import expected_shapes
from primase_server.models.progen2.config import VARIANTS, ProGen2Config
from primase_server.models.progen2.random_state import spread
from primase_server.models.progen2.weights import FIXTURE
from tools.normals import Normals

SEED = 20220627
WEIGHTS = "pytorch_model.bin"


def make_state(config: ProGen2Config, seed: int = SEED) -> dict[str, Tensor]:
    """Every tensor under its official name, in float32."""
    normals = Normals(seed)
    return {
        name: spread(name, torch.from_numpy(normals.draw(shape)), config).float()
        for name, shape in expected_shapes(config).items()
    }


def official_config(config: ProGen2Config) -> dict[str, object]:
    """The fields of `config.json` under their official names."""
    return {
        "activation_function": "gelu_new",
        "architectures": ["ProGenForCausalLM"],
        "attn_pdrop": 0.0,
        "bos_token_id": 1,
        "embd_pdrop": 0.0,
        "eos_token_id": 2,
        "layer_norm_epsilon": config.eps,
        "model_type": "progen",
        "n_ctx": config.max_tokens,
        "n_embd": config.width,
        "n_head": config.num_heads,
        "n_inner": None,
        "n_layer": config.num_layers,
        "n_positions": config.max_tokens,
        "resid_pdrop": 0.0,
        "rotary_dim": config.rotary_dims,
        "scale_attn_weights": True,
        "vocab_size": config.output_size,
    }


def save(values: Mapping[str, object], state: Mapping[str, Tensor], folder: Path) -> None:
    """Write the two files of the layout."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    torch.save(dict(state), folder / WEIGHTS)


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FIXTURE
    config = VARIANTS["progen2-fixture"]
    save(official_config(config), make_state(config), folder)
    sys.stdout.write(f"{folder} {(folder / WEIGHTS).stat().st_size} bytes\n")


if __name__ == "__main__":
    main()
