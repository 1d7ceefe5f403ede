"""Write a trained checkpoint in its official layout: `python -m tools.train_demo.export FAMILY`.

The running mean of the weights is what is shipped.
"""

import argparse
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from primase_server.models.esm2.alphabet import MASK_ID, PAD_ID
from primase_server.models.esm2.config import VOCABULARY_SIZE
from tools.train_demo import esm2, evo2, progen2
from tools.train_demo.evo2_network import Evo2Network

MOST_BYTES = 6_000_000
EVO2_CONFIG = """# SPDX-License-Identifier: Apache-2.0
# The blocks of the 1B model, narrow.

model_name: evo2-demo
vocab_size: {vocabulary_size}
tokenizer_type: CharLevelTokenizer
# What is taken, not what was learned: docs/demo-models.md tells the lengths of the training.
max_seqlen: 1048576

num_layers: {num_layers}
hidden_size: {width}
num_attention_heads: {num_heads}
inner_mlp_size: {inner_width}
state_size: {num_modes}
num_filters: {width}

attn_layer_idxs: {attention_layers}
hcs_layer_idxs: {hcs_layers}
hcm_layer_idxs: {hcm_layers}
hcl_layer_idxs: {hcl_layers}

short_filter_length: {short_taps}
hcs_filter_length: {hcs_taps}
hcm_filter_length: {hcm_taps}
hcs_filter_groups: {hcs_groups}
hcm_filter_groups: {hcm_groups}
hcl_filter_groups: {width}
hyena_filter_groups: 1
proj_groups: 1

interleave: True
column_split: True
column_split_hyena: False
hyena_flip_x1x2: False

tie_embeddings: True
short_filter_bias: False
mha_out_proj_bias: True
hyena_out_proj_bias: True
qkv_proj_bias: False
final_norm: True
eps: 0.000001
mlp_activation: gelu
evo2_style_activations: True
use_fp8_input_projections: False
"""

_ESM2_PARTS = {
    "self_attn.q_proj": "attention.self.query",
    "self_attn.k_proj": "attention.self.key",
    "self_attn.v_proj": "attention.self.value",
    "self_attn.out_proj": "attention.output.dense",
    "self_attn_layer_norm": "attention.LayerNorm",
    "final_layer_norm": "LayerNorm",
    "fc1": "intermediate.dense",
    "fc2": "output.dense",
}
_ESM2_BLOCK = re.compile(r"^layers\.([0-9]+)\.(.+)\.(weight|bias)$")


def write_evo2(weights: Mapping[str, Tensor], folder: Path) -> list[Path]:
    """`evo2_demo.pt`, the flat dict of torch.save, and `config.yml`."""
    config, network = evo2.CONFIG, Evo2Network(evo2.CONFIG, 0, compiled=False)
    told = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in vars(config).items()
    }
    path, said = folder / "evo2_demo.pt", folder / "config.yml"
    torch.save(network.official(weights), path)
    said.write_text(EVO2_CONFIG.format(**told), encoding="utf-8")
    return [path, said]


def write_esm2(weights: Mapping[str, Tensor], folder: Path) -> list[Path]:
    """The hub's `model.safetensors` and `config.json`."""
    config = esm2.CONFIG
    tensors = {hub_name(name.replace("/", ".")): one.half() for name, one in weights.items()}
    path, said = folder / "model.safetensors", folder / "config.json"
    save_file(tensors, path)
    values = {
        "architectures": ["EsmForMaskedLM"],
        "model_type": "esm",
        "num_hidden_layers": config.num_layers,
        "hidden_size": config.width,
        "num_attention_heads": config.num_heads,
        "intermediate_size": config.ffn_width,
        "vocab_size": VOCABULARY_SIZE,
        "mask_token_id": MASK_ID,
        "pad_token_id": PAD_ID,
        "position_embedding_type": "rotary",
        "emb_layer_norm_before": False,
        "layer_norm_eps": config.layer_norm_eps,
        "token_dropout": config.token_dropout,
        "torch_dtype": "float16",
    }
    said.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    return [path, said]


def hub_name(name: str) -> str:
    """The hub's name of a tensor, from fair-esm's."""
    if name == "embed_tokens.weight":
        return "esm.embeddings.word_embeddings.weight"
    if name.startswith("contact_head."):
        return f"esm.{name}"
    if name.startswith("emb_layer_norm_after"):
        return f"esm.encoder.{name}"
    match = _ESM2_BLOCK.match(name)
    if match is None:
        return name
    layer, part, kind = match.groups()
    return f"esm.encoder.layer.{layer}.{_ESM2_PARTS[part]}.{kind}"


def write_progen2(weights: Mapping[str, Tensor], folder: Path) -> list[Path]:
    """The hub's `model.safetensors` and `config.json`."""
    config = progen2.CONFIG
    tensors = {name.replace("/", "."): one.half() for name, one in weights.items()}
    path, said = folder / "model.safetensors", folder / "config.json"
    save_file(tensors, path)
    values = {
        "model_type": "progen",
        "activation_function": "gelu_new",
        "scale_attn_weights": True,
        "n_layer": config.num_layers,
        "n_embd": config.width,
        "n_head": config.num_heads,
        "n_inner": config.inner_width,
        "rotary_dim": config.rotary_dims,
        "n_positions": config.max_tokens,
        "vocab_size": config.vocabulary_size,
        "layer_norm_epsilon": config.eps,
        "torch_dtype": "float16",
    }
    said.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    return [path, said]


WRITERS: Mapping[str, Callable[[Mapping[str, Tensor], Path], list[Path]]] = {
    "evo2": write_evo2,
    "esm2": write_esm2,
    "progen2": write_progen2,
}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("family", choices=list(WRITERS))
    parser.add_argument("checkpoint", type=Path, help="that of a training script")
    parser.add_argument("folder", type=Path, help="the files go here")
    parser.add_argument(
        "--last", action="store_true", help="the last weights, not their running mean"
    )
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    state = torch.load(options.checkpoint, weights_only=True)
    weights = state["weights" if options.last else "ema"]
    files = WRITERS[options.family](weights, options.folder)
    for file in files:
        file.chmod(0o644)
    if (size := max(file.stat().st_size for file in files)) > MOST_BYTES:
        raise SystemExit(f"{size} bytes are more than {MOST_BYTES}")


if __name__ == "__main__":
    main()
