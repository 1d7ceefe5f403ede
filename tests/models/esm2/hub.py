"""The hub's model class with seeded weights, and its names for the fixture's tensors."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor
from transformers import EsmConfig, EsmForMaskedLM

from primase_server.models.esm2.config import Esm2Config
from tests.models.esm2.reference import Everything, collect

CONFIG = {
    "model_type": "esm",
    "vocab_size": 33,
    "pad_token_id": 1,
    "mask_token_id": 32,
    "position_embedding_type": "rotary",
    "emb_layer_norm_before": False,
    "token_dropout": True,
    "layer_norm_eps": 1e-5,
}
PARTS = {
    "self_attn.q_proj": "attention.self.query",
    "self_attn.k_proj": "attention.self.key",
    "self_attn.v_proj": "attention.self.value",
    "self_attn.out_proj": "attention.output.dense",
    "self_attn_layer_norm": "attention.LayerNorm",
    "final_layer_norm": "LayerNorm",
    "fc1": "intermediate.dense",
    "fc2": "output.dense",
}


def config_json(config: Esm2Config) -> dict[str, object]:
    """The values of `config.json` of a model of this shape."""
    return CONFIG | {
        "num_hidden_layers": config.num_layers,
        "hidden_size": config.width,
        "num_attention_heads": config.num_heads,
        "intermediate_size": config.ffn_width,
    }


def build_hub_model(config: Esm2Config, seed: int = 0) -> EsmForMaskedLM:
    """transformers' own class with seeded weights that make mistakes visible."""
    values = config_json(config) | {
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "attn_implementation": "eager",
    }
    torch.manual_seed(seed)
    model = EsmForMaskedLM(EsmConfig.from_dict(values))
    model.eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(_seeded(name, parameter))
    return model


@torch.no_grad()
def run_hub(model: EsmForMaskedLM, token_ids: Sequence[NDArray[np.int64]]) -> list[Everything]:
    """Every output of each sequence, all of them padded into one batch."""
    lengths = [len(ids) for ids in token_ids]
    padded = torch.ones((len(lengths), max(lengths)), dtype=torch.int64)
    for row, ids in zip(padded, token_ids, strict=True):
        row[: len(ids)] = torch.from_numpy(ids)
    is_token = padded.ne(1).long()
    result = model(padded, is_token, output_hidden_states=True, output_attentions=True)
    contacts = model.predict_contacts(padded, is_token)
    hidden = torch.stack(result.hidden_states, dim=1)
    attentions = torch.stack(result.attentions, dim=1)
    return [
        collect(hidden[i], result.logits[i], attentions[i], contacts[i], n)
        for i, n in enumerate(lengths)
    ]


def hub_name(fair: str) -> str:
    """The hub's name of a fair-esm tensor."""
    if fair == "embed_tokens.weight":
        return "esm.embeddings.word_embeddings.weight"
    if fair.startswith("contact_head."):
        return f"esm.{fair}"
    if fair.startswith("emb_layer_norm_after."):
        return f"esm.encoder.{fair}"
    if fair.startswith("lm_head."):
        return fair
    _, index, rest = fair.split(".", 2)
    part, kind = rest.rsplit(".", 1)
    return f"esm.encoder.layer.{index}.{PARTS[part]}.{kind}"


def hub_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """fair-named tensors under the hub's names."""
    return {hub_name(name): tensor.clone() for name, tensor in tensors.items()}


def write_safetensors(path: Path, tensors: Mapping[str, Tensor]) -> Path:
    """One safetensors file."""
    save_file(dict(tensors), path)
    return path


def _seeded(name: str, parameter: Tensor) -> Tensor:
    noise = torch.randn_like(parameter)
    if "contact_head" in name:
        return noise if name.endswith("weight") else torch.full_like(parameter, -3.0)
    if "layer_norm" in name or "LayerNorm" in name:
        return noise * 0.1 + (1.0 if name.endswith("weight") else 0.0)
    if name.endswith("bias"):
        return noise * 0.05
    if "word_embeddings" in name:
        return noise * 0.1
    scale = 1.5 if "query" in name or "key" in name else 0.6
    return noise * (scale / math.sqrt(parameter.shape[1]))
