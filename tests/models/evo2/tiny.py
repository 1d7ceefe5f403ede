"""Small seeded checkpoints in the official layout, read by both implementations."""

import io
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from primase_server.models.evo2.config import Evo2Config
from primase_server.models.evo2.model import Evo2
from primase_server.models.evo2.random_state import RandomState
from tests.models.evo2.reference import build

KEYS: dict[str, Any] = {
    "model_name": "tiny",
    "vocab_size": 512,
    "hidden_size": 64,
    "num_filters": 64,
    "hcl_filter_groups": 64,
    "hcm_filter_groups": 8,
    "hcs_filter_groups": 8,
    "num_layers": 11,
    "attn_layer_idxs": [3, 10],
    "hcl_layer_idxs": [2, 6, 9],
    "hcm_layer_idxs": [1, 5, 8],
    "hcs_layer_idxs": [0, 4, 7],
    "hcm_filter_length": 128,
    "hcs_filter_length": 7,
    "short_filter_length": 3,
    "short_filter_bias": False,
    "num_attention_heads": 2,
    "inner_mlp_size": 144,
    "inner_size_multiple_of": 16,
    "mlp_init_method": "torch.nn.init.zeros_",
    "mlp_output_init_method": "torch.nn.init.zeros_",
    "mlp_activation": "gelu",
    "eps": 1e-6,
    "state_size": 16,
    "rotary_emb_base": 10000,
    "make_vocab_size_divisible_by": 8,
    "log_intermediate_values": False,
    "proj_groups": 1,
    "hyena_filter_groups": 1,
    "column_split_hyena": False,
    "column_split": True,
    "interleave": True,
    "evo2_style_activations": True,
    "model_parallel_size": 1,
    "pipe_parallel_size": 1,
    "tie_embeddings": True,
    "mha_out_proj_bias": True,
    "hyena_out_proj_bias": True,
    "hyena_flip_x1x2": False,
    "qkv_proj_bias": False,
    "use_fp8_input_projections": False,
    "max_seqlen": 8192,
    "max_batch_size": 1,
    "final_norm": True,
    "use_flash_attn": False,
    "use_flash_rmsnorm": False,
    "use_flash_depthwise": False,
    "use_flashfft": False,
    "use_laughing_hyena": False,
    "inference_mode": True,
    "tokenizer_type": "CharLevelTokenizer",
    "prefill_style": "fft",
    "print_activations": False,
}
"""A model of every kind of block, under the rules of evo2_7b_base."""

INTERPOLATED: dict[str, Any] = {
    **KEYS,
    "use_interpolated_rotary_pos_emb": True,
    "rotary_emb_scaling_factor": 128,
}
"""The same under the rules of evo2_7b."""


def make_state(keys: dict[str, Any] = KEYS, seed: int = 0) -> dict[str, Tensor]:
    """Every tensor that the shape needs, by official name."""
    return dict(RandomState(Evo2Config.from_mapping(keys), seed))


def ours(keys: dict[str, Any] = KEYS, seed: int = 0, dtype: torch.dtype = torch.float32) -> Evo2:
    """Our model on the CPU."""
    config = Evo2Config.from_mapping(keys)
    devices = [torch.device("cpu")] * config.num_layers
    return Evo2(config, make_state(keys, seed), devices, dtype)


def official(
    keys: dict[str, Any] = KEYS, seed: int = 0, dtype: torch.dtype = torch.float32
) -> nn.Module:
    """The official model with the same weights, read from a file."""
    with tempfile.TemporaryDirectory() as folder:
        return build(keys, save(make_state(keys, seed), Path(folder) / "tiny.pt"), dtype)


def save(state: dict[str, Tensor], path: Path) -> Path:
    """Write a checkpoint as published ones are, with its leftovers."""
    entries: dict[str, object] = dict(state)
    entries["unembed.weight"] = state["embedding_layer.weight"]
    for name in state:
        if name.endswith("projections.weight"):
            entries[f"{name.removesuffix('weight')}_extra_state"] = io.BytesIO(b"scales")
        if name.endswith("Wqkv.weight"):
            block = name.removesuffix("inner_mha_cls.Wqkv.weight")
            entries[f"{block}mixer.attn._extra_state"] = io.BytesIO(b"scales")
        if name.endswith("log_poles"):
            block = name.removesuffix("filter.log_poles")
            entries[f"{block}mixer.mixer.filter.t"] = torch.zeros(1, 1, 16)
    torch.save(entries, path)
    return path


@cache
def official_and_ours(*, interpolated: bool = False) -> tuple[nn.Module, Evo2]:
    """Both, made once."""
    keys = INTERPOLATED if interpolated else KEYS
    return official(keys), ours(keys)
