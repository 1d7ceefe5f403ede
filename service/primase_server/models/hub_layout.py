"""Where the hub's layout keeps a model: `config.json` and weights, whole or in shards.

The weights are safetensors, or files of `torch.save` where a repository has no others; of those
only tensors and plain containers are built. Nothing in a file is executed.
"""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from primase_server.models.errors import CheckpointError
from primase_server.models.restricted import load_restricted, named_tensors, stored_tensor
from primase_server.models.stored import StoredTensor

CONFIG = "config.json"
SINGLE_FILES = ("model.safetensors", "pytorch_model.bin")
"""Weights in one file, the preferred first; in shards they have an index of that name instead."""

TORCH_SUFFIX = ".bin"

_DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def weight_files(path: Path) -> list[Path]:
    """The files of weights of a folder, or that one file. Raises CheckpointError for none."""
    found = path if path.is_file() else find_weights(path)
    if found is None:
        raise CheckpointError(f"{path} holds none of {', '.join(SINGLE_FILES)}, whole or in shards")
    return _shards(found) if found.name.endswith(".index.json") else [found]


def find_weights(folder: Path) -> Path | None:
    """The file of weights in a folder, or the index of its shards; None where there is neither."""
    names = (name for single in SINGLE_FILES for name in (single, f"{single}.index.json"))
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _shards(index: Path) -> list[Path]:
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{index.name} has no weight_map")
    names = sorted({str(name) for name in weight_map.values()})
    for name in names:
        if Path(name).name != name or not index.with_name(name).is_file():
            raise CheckpointError(
                f"{index.name} names the shard {name[:120]!r}, which is not there"
            )
    return [index.with_name(name) for name in names]


def open_file(path: Path) -> Mapping[str, StoredTensor]:
    """The tensors of one file, unread. Raises CheckpointError."""
    return _open_torch(path) if path.suffix == TORCH_SUFFIX else _open_safetensors(path)


def _open_torch(path: Path) -> Mapping[str, StoredTensor]:
    tensors = named_tensors(load_restricted(path), f"{path.name} is not a dict of tensors")
    return {name: stored_tensor(name, tensor) for name, tensor in tensors.items()}


def _open_safetensors(path: Path) -> Mapping[str, StoredTensor]:
    try:
        file = safe_open(path, framework="pt")
        names: list[str] = file.keys()  # type: ignore[no-untyped-call]
        return {name: _stored(file, name) for name in names}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path.name} cannot be read: {str(error)[:200]}") from error


def _stored(file: safe_open, name: str) -> StoredTensor:
    # the header alone is read here
    header = file.get_slice(name)  # type: ignore[no-untyped-call]
    # integer tensors only ever appear among the ignored ones, or are refused
    dtype = _DTYPES.get(header.get_dtype(), torch.int64)
    return StoredTensor(tuple(header.get_shape()), dtype, partial(file.get_tensor, name))


def read_json(path: Path) -> dict[str, object]:
    """A file that holds one object. Raises CheckpointError."""
    try:
        values = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path.name} cannot be read: {str(error)[:200]}") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path.name} is not a JSON object")
    return values
