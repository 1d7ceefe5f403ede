"""The names, and the configuration, of the hub's `facebook/esm2_*`."""

import re
from collections.abc import Mapping
from pathlib import Path

from primase_server.models.errors import CheckpointError
from primase_server.models.esm2.alphabet import MASK_ID, PAD_ID
from primase_server.models.esm2.checkpoint import (
    Checkpoint,
    check,
    shape_of,
    whole_number,
)
from primase_server.models.esm2.config import VOCABULARY_SIZE, Esm2Config
from primase_server.models.hub_layout import CONFIG, open_file, read_json, weight_files
from primase_server.models.stored import StoredTensor

DEFAULT_EPS = 1e-5

_BLOCK = re.compile(r"^encoder\.layer\.([0-9]+)\.(.+)\.(weight|bias|gamma|beta)$")
# transformers 5.23 writes the one that all blocks share under a literal `*`
_INV_FREQ = re.compile(
    r"^encoder\.layer\.([0-9]+|\*)\.attention\.self\.rotary_embeddings\.inv_freq$"
)
_IGNORED = re.compile(r"^(embeddings\.position_(embeddings\.weight|ids)|pooler\..+)$")
_BLOCK_PARTS = {
    "attention.self.query": "self_attn.q_proj",
    "attention.self.key": "self_attn.k_proj",
    "attention.self.value": "self_attn.v_proj",
    "attention.output.dense": "self_attn.out_proj",
    "attention.LayerNorm": "self_attn_layer_norm",
    "LayerNorm": "final_layer_norm",
    "intermediate.dense": "fc1",
    "output.dense": "fc2",
}
_SPELLINGS = {"gamma": "weight", "beta": "bias"}  # of norms, as transformers 5 writes them


def open_hub(path: Path) -> Checkpoint:
    """Read a directory, or one file of weights, with `config.json` next to the tensors.

    Nothing in the files is executed: of a `.bin` only tensors and plain containers are built.

    Raises CheckpointError.
    """
    files = weight_files(path)
    found: dict[str, StoredTensor] = {}
    head_dim: int | None = None
    for name, tensor in (pair for file in files for pair in open_file(file).items()):
        plain = name.removeprefix("esm.")
        if _INV_FREQ.match(plain):
            head_dim = 2 * tensor.shape[0]
        elif not _IGNORED.match(plain):
            _add(found, fair_name(plain), tensor)
    config_path = files[0].parent / CONFIG
    values = read_json(config_path) if config_path.is_file() else {}
    return check(found, _config(values, found, head_dim), files)


def fair_name(name: str) -> str:
    """fair-esm's name of a hub tensor whose leading `esm.` is gone; unknown names stay."""
    if name == "embeddings.word_embeddings.weight":
        return "embed_tokens.weight"
    if name == "lm_head.decoder.weight":
        return "lm_head.weight"
    match = _BLOCK.match(name)
    if match is None:
        return name.removeprefix("encoder.") if name.startswith("encoder.emb_") else name
    index, part, kind = match.groups()
    known = _BLOCK_PARTS.get(part)
    if known is None or (kind in _SPELLINGS and not known.endswith("norm")):
        return name
    return f"layers.{index}.{known}.{_SPELLINGS.get(kind, kind)}"


def _add(found: dict[str, StoredTensor], name: str, tensor: StoredTensor) -> None:
    if name in found:
        raise CheckpointError(f"the checkpoint has {name[:120]} twice")
    found[name] = tensor


def _config(
    values: Mapping[str, object], stored: Mapping[str, StoredTensor], head_dim: int | None
) -> Esm2Config:
    num_layers, width = shape_of(stored)
    fixed = {
        "num_hidden_layers": num_layers,
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "vocab_size": VOCABULARY_SIZE,
        "mask_token_id": MASK_ID,
        "pad_token_id": PAD_ID,
        "position_embedding_type": "rotary",
        "emb_layer_norm_before": False,
        "rope_theta": 10000.0,
    }
    for name, value in fixed.items():
        # absent and null both mean the default, which is what the tensors say
        if values.get(name) is not None and values[name] != value:
            raise CheckpointError(f"{CONFIG} says {name} is {values[name]!r:.40}, not {value!r}")
    token_dropout = values.get("token_dropout", True)
    if not isinstance(token_dropout, bool):
        raise CheckpointError(f"{CONFIG} says token_dropout is {token_dropout!r:.40}")
    return Esm2Config(
        num_layers, width, _num_heads(values, width, head_dim), _eps(values), token_dropout
    )


def _num_heads(values: Mapping[str, object], width: int, head_dim: int | None) -> int:
    if "num_attention_heads" in values:
        num_heads = whole_number(values["num_attention_heads"], "num_attention_heads")
        if head_dim is not None and num_heads * head_dim != width:
            raise CheckpointError(f"{num_heads} heads do not fit inv_freq of {head_dim // 2}")
        return num_heads
    if not head_dim:
        raise CheckpointError(f"the number of heads is unknown: there is no {CONFIG} that says it")
    return width // head_dim


def _eps(values: Mapping[str, object]) -> float:
    # transformers' own default of 1e-12 is wrong for ESM-2, whose files all say 1e-5
    eps = values.get("layer_norm_eps", DEFAULT_EPS)
    if not isinstance(eps, float) or not 0 < eps < 1:
        raise CheckpointError(f"{CONFIG} says layer_norm_eps is {eps!r:.40}")
    return eps
