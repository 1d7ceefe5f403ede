"""The layout of fair-esm: `<name>.pt`, with `<name>-contact-regression.pt` next to it."""

import re
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from primase_server.models.errors import CheckpointError
from primase_server.models.esm2.checkpoint import (
    Checkpoint,
    check,
    shape_of,
    whole_number,
)
from primase_server.models.esm2.config import Esm2Config
from primase_server.models.restricted import load_restricted, named_tensors, stored_tensor
from primase_server.models.stored import StoredTensor

REGRESSION_SUFFIX = "-contact-regression.pt"

_PREFIX = re.compile(r"^encoder\.(sentence_encoder\.)?")
_BUFFER = re.compile(r"^layers\.[0-9]+\.self_attn\.rot_emb\.inv_freq$")


def open_fair(path: Path) -> Checkpoint:
    """Read the layout of `esm/pretrained.py`; contacts are absent with their file.

    Nothing in the files is executed: only tensors, plain containers and `argparse.Namespace`
    are built. Raises CheckpointError.
    """
    main = _load(path)
    tensors = {_PREFIX.sub("", name): tensor for name, tensor in _tensors(main, path).items()}
    files = [path]
    regression = path.with_name(path.stem + REGRESSION_SUFFIX)
    if regression.is_file():
        tensors |= _tensors(_load(regression), regression)
        files.append(regression)
    stored = {
        name: stored_tensor(name, tensor)
        for name, tensor in tensors.items()
        if not _BUFFER.match(name)
    }
    return check(stored, _config(main, stored), files)


def _load(path: Path) -> object:
    return load_restricted(path, Namespace)


def _tensors(loaded: object, path: Path) -> Mapping[str, Tensor]:
    tensors = loaded.get("model") if isinstance(loaded, dict) else None
    return named_tensors(tensors, f"{path.name} has no dict of tensors named 'model'")


def _config(main: object, stored: Mapping[str, StoredTensor]) -> Esm2Config:
    cfg = main.get("cfg") if isinstance(main, dict) else None
    model = cfg.get("model") if isinstance(cfg, dict) else None
    if not isinstance(model, Namespace):
        raise CheckpointError("the checkpoint has no cfg['model']")
    values = vars(model)
    num_layers, width = shape_of(stored)
    for name, derived in (("encoder_layers", num_layers), ("encoder_embed_dim", width)):
        if whole_number(values.get(name), name) != derived:
            raise CheckpointError(f"{name} is {values[name]}, but the tensors say {derived}")
    token_dropout = values.get("token_dropout")
    if not isinstance(token_dropout, bool):
        raise CheckpointError("token_dropout is neither true nor false")
    num_heads = whole_number(values.get("encoder_attention_heads"), "encoder_attention_heads")
    return Esm2Config(num_layers, width, num_heads, token_dropout=token_dropout)
