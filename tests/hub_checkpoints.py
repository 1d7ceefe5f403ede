"""Repositories as the hub has them, with seeded random weights."""

import json
from collections.abc import Mapping

from safetensors.torch import save
from torch import Tensor

from primase_server.models.esm2.config import VARIANTS, Esm2Config
from primase_server.models.esm2.random_state import RandomState
from tests.models.esm2.hub import config_json, hub_tensors

TINY = VARIANTS["fixture"]
ESM2_8M = VARIANTS["esm2_t6_8M_UR50D"]

# What official repositories hold besides, and nobody must ask for.
OTHERS: Mapping[str, bytes] = {
    ".gitattributes": b"*.safetensors filter=lfs\n",
    "README.md": b"# ESM-2\n",
    "pytorch_model.bin": b"a pickle",
    "tf_model.h5": b"of TensorFlow",
    "vocab.txt": b"<cls>\n",
}


def whole(config: Esm2Config = TINY, seed: int = 0) -> dict[str, bytes]:
    """A repository with its weights in one file."""
    tensors = hub_tensors(dict(RandomState(config, seed)))
    return {**OTHERS, **_config(config), "model.safetensors": save(tensors)}


def sharded(config: Esm2Config = TINY, seed: int = 0, num_shards: int = 3) -> dict[str, bytes]:
    """The same weights in several files, with the index that says where each tensor is."""
    tensors = hub_tensors(dict(RandomState(config, seed)))
    names = [f"model-{i + 1:05d}-of-{num_shards:05d}.safetensors" for i in range(num_shards)]
    place = {tensor: names[i % num_shards] for i, tensor in enumerate(tensors)}
    index = {"metadata": {"total_size": _num_bytes(tensors)}, "weight_map": place}
    shards = {
        name: save({tensor: tensors[tensor] for tensor in tensors if place[tensor] == name})
        for name in names
    }
    index_file = {"model.safetensors.index.json": json.dumps(index).encode()}
    return {**OTHERS, **_config(config), **index_file, **shards}


def _config(config: Esm2Config) -> dict[str, bytes]:
    return {"config.json": json.dumps(config_json(config)).encode()}


def _num_bytes(tensors: Mapping[str, Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors.values())
