"""The official layout: `config.json` beside weights of `torch.save`, or of the hub's safetensors.

Both have the same names and the same order of rows. Nothing in a file is executed.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from torch import Tensor

from primase_server.models.errors import CheckpointError
from primase_server.models.hub_layout import CONFIG, open_file, read_json, weight_files
from primase_server.models.progen2.config import ProGen2Config
from primase_server.models.stored import StoredTensor, StoredTensors, reject

EMBEDDING = "transformer.wte.weight"
HEAD = "lm_head.weight"

_BLOCK = re.compile(r"^transformer\.h\.([0-9]{1,6})\.")
_BUFFER = re.compile(r"^transformer\.h\.[0-9]{1,6}\.attn\.(bias|masked_bias)$")
_FIXED = {"activation_function": "gelu_new", "scale_attn_weights": True}
"""What every published model says; nothing else is implemented."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A checked checkpoint: its shape, its tensors by official name, the files they are in."""

    config: ProGen2Config
    tensors: Mapping[str, Tensor]
    files: tuple[Path, ...]


def open_official(path: Path) -> Checkpoint:
    """Read a directory, or one file of weights, with `config.json` next to the tensors.

    The tensors say how many blocks there are, how wide they are and how many rows the vocabulary
    has; all else must be in the configuration. Raises CheckpointError.
    """
    files = weight_files(path)
    stored = {
        name: tensor
        for file in files
        for name, tensor in open_file(file).items()
        if not _BUFFER.match(name)
    }
    config_path = files[0].with_name(CONFIG)
    if not config_path.is_file():
        raise CheckpointError(f"there is no {CONFIG} beside {files[0].name}")
    config = read_config(read_json(config_path), stored)
    return Checkpoint(config, check(stored, config), (config_path, *files))


def check(stored: Mapping[str, StoredTensor], config: ProGen2Config) -> Mapping[str, Tensor]:
    """The tensors, once they are exactly those of the shape. Raises CheckpointError."""
    expected = expected_shapes(config)
    reject("lacks", (name for name in expected if name not in stored))
    reject("has unknown", (name for name in stored if name not in expected))
    reject(
        "has misshapen",
        (
            f"{name} {list(found.shape)}, not {list(expected[name])}"
            for name, found in stored.items()
            if found.shape != expected[name]
        ),
    )
    reject("has non-float", (n for n, found in stored.items() if not found.dtype.is_floating_point))
    return StoredTensors(stored)


def expected_shapes(config: ProGen2Config) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor of a checkpoint, buffers left out, in the order of the blocks."""
    width, inner = config.width, config.inner_width
    shapes: dict[str, tuple[int, ...]] = {EMBEDDING: (config.vocabulary_size, width)}
    for layer in range(config.num_layers):
        block = f"transformer.h.{layer}"
        shapes |= _affine(f"{block}.ln_1", width)
        shapes[f"{block}.attn.qkv_proj.weight"] = (3 * width, width)
        shapes[f"{block}.attn.out_proj.weight"] = (width, width)
        shapes |= _affine(f"{block}.mlp.fc_in", inner, width)
        shapes |= _affine(f"{block}.mlp.fc_out", width, inner)
    shapes |= _affine("transformer.ln_f", width)
    return shapes | _affine("lm_head", config.output_size, width)


def read_config(values: Mapping[str, object], stored: Mapping[str, StoredTensor]) -> ProGen2Config:
    """The shape that tensors and configuration give together. Raises CheckpointError."""
    for name, wanted in _FIXED.items():
        if (value := values.get(name)) != wanted:
            raise CheckpointError(
                f"{CONFIG} says {name} is {value!r:.40}; only {wanted!r} is known"
            )
    vocabulary_size, width = _matrix(stored, EMBEDDING)
    output_size, _ = _matrix(stored, HEAD)
    num_layers = _num_layers(stored)
    if num_layers < (said := _whole(values, "n_layer")):
        raise CheckpointError(f"the checkpoint has {num_layers} blocks of {said}")
    inner_width, _ = _matrix(stored, "transformer.h.0.mlp.fc_in.weight")
    config = ProGen2Config(
        num_layers,
        width,
        _whole(values, "n_head"),
        inner_width,
        _whole(values, "rotary_dim"),
        _whole(values, "n_positions"),
        vocabulary_size,
        output_size,
        _eps(values),
    )
    config.check()
    return config


def _num_layers(stored: Mapping[str, StoredTensor]) -> int:
    indices = {match[1] for name in stored if (match := _BLOCK.match(name))}
    # the names must be those of blocks 0 to L-1 before L is believed
    if not indices or indices != {str(index) for index in range(len(indices))}:
        raise CheckpointError("the checkpoint's blocks are not numbered 0 to L-1")
    return len(indices)


def _matrix(stored: Mapping[str, StoredTensor], name: str) -> tuple[int, int]:
    found = stored.get(name)
    if found is None or len(found.shape) != 2:
        raise CheckpointError(f"the checkpoint has no matrix {name}")
    rows, columns = found.shape
    return rows, columns


def _whole(values: Mapping[str, object], name: str) -> int:
    value = values.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise CheckpointError(f"{CONFIG} says {name} is {value!r:.40}, not a positive whole number")
    return value


def _eps(values: Mapping[str, object]) -> float:
    eps = values.get("layer_norm_epsilon")
    if not isinstance(eps, float) or not isfinite(eps) or not 0 < eps < 1:
        raise CheckpointError(f"{CONFIG} says layer_norm_epsilon is {eps!r:.40}")
    return eps


def _affine(name: str, *shape: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
