"""The official layout: one flat dict of `torch.save`, `<model>.pt`, or `.pt.part0`, `.part1`, ...

Nothing in a file is executed: only tensors, plain containers and `io.BytesIO` are built, the latter
because FP8 scales are stored as one. Tensors stay in the file until they are read.
"""

import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from primase_server.models.errors import CheckpointError
from primase_server.models.evo2.config import BlockKind, Evo2Config
from primase_server.models.evo2.parts import find_parts, join_parts
from primase_server.models.restricted import load_restricted, stored_tensor
from primase_server.models.stored import StoredTensor, StoredTensors, reject

EXTRA_STATE = "._extra_state"
FLOAT32_PARTS = ("filter.log_poles", "filter.residues")
"""Ends of the names of tensors that files hold in float32; all others are in bfloat16."""

_BLOCK = re.compile(r"^blocks\.([0-9]{1,6})\.")
_PROJECTION_STATE = re.compile(r"^(blocks\.[0-9]{1,6}\.projections)\._extra_state$")


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A checked checkpoint: tensors by official name, FP8 scales by module, the files read."""

    config: Evo2Config
    tensors: Mapping[str, Tensor]
    extra_states: Mapping[str, io.BytesIO]
    files: tuple[Path, ...]


def open_official(path: Path, config: Evo2Config) -> Checkpoint:
    """The tensors that a model of this shape needs; others in the file are left alone.

    `path` may be that of a file which was published in parts: they are joined to it, once.
    Raises CheckpointError naming what is missing or of another shape.
    """
    parts = find_parts(path)
    if parts:
        join_parts(parts, path)
    elif not path.is_file():
        raise CheckpointError(f"there is no file {path}")
    loaded = load_restricted(path, io.BytesIO)
    if not isinstance(loaded, dict) or not all(isinstance(name, str) for name in loaded):
        raise CheckpointError(f"{path.name} is not a dict of tensors by name")
    return Checkpoint(config, check(loaded, config), _extra_states(loaded), tuple(parts or [path]))


def check(loaded: Mapping[str, object], config: Evo2Config) -> Mapping[str, Tensor]:
    """The tensors of `expected_shapes`, unread. Raises CheckpointError.

    Names that nobody expects are dropped, as the official code does, since published files hold
    leftovers of training; but blocks beyond the last are those of another model.
    """
    expected = expected_shapes(config)
    reject("lacks", (name for name in expected if not isinstance(loaded.get(name), Tensor)))
    beyond = {int(match[1]) for name in loaded if (match := _BLOCK.match(name))}
    if beyond and max(beyond) >= config.num_layers:
        raise CheckpointError(
            f"the checkpoint has a block {max(beyond)}; this model ends at {config.num_layers - 1}"
        )
    stored = {name: _stored(name, loaded[name]) for name in expected}
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


def expected_shapes(config: Evo2Config) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor that a model reads, by official name, in the order of the blocks."""
    shapes: dict[str, tuple[int, ...]] = {
        "embedding_layer.weight": (config.vocabulary_size, config.width)
    }
    for layer in range(config.num_layers):
        shapes |= {f"blocks.{layer}.{name}": shape for name, shape in _block(config, layer)}
    shapes["norm.scale"] = (config.width,)
    return shapes


def _block(config: Evo2Config, layer: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    width, inner, kind = config.width, config.inner_width, config.kind(layer)
    yield "pre_norm.scale", (width,)
    if kind is BlockKind.ATTENTION:
        yield "inner_mha_cls.Wqkv.weight", (3 * width, width)
        yield "inner_mha_cls.rotary_emb.inv_freq", (config.head_dim // 2,)
        yield "inner_mha_cls.out_proj.weight", (width, width)
        yield "inner_mha_cls.out_proj.bias", (width,)
    else:
        yield "projections.weight", (3 * width, width)
        yield "filter.short_filter_weight", (3 * width, 1, config.short_taps)
        yield from ((f"filter.{name}", shape) for name, shape in _filter(config, kind))
        yield "out_filter_dense.weight", (width, width)
        yield "out_filter_dense.bias", (width,)
    yield "post_norm.scale", (width,)
    yield "mlp.l1.weight", (inner, width)
    yield "mlp.l2.weight", (inner, width)
    yield "mlp.l3.weight", (width, inner)


def _filter(config: Evo2Config, kind: BlockKind) -> Iterator[tuple[str, tuple[int, ...]]]:
    width = config.width
    if kind is BlockKind.HCS:
        yield "h", (config.hcs_groups, 1, config.hcs_taps)
        return
    if kind is BlockKind.HCM:
        yield "h", (config.hcm_groups, 1, config.hcm_taps)
    else:
        yield "log_poles", (width, config.num_modes, 1)
        yield "residues", (width, config.num_modes)
    yield "D", (width,)


def _stored(name: str, value: object) -> StoredTensor:
    assert isinstance(value, Tensor)
    if name.endswith((*FLOAT32_PARTS, "inv_freq")):
        return stored_tensor(name, value)
    # the official code rounds whatever else a file holds, so a wider file gives the same numbers
    found = stored_tensor(name, value)
    return StoredTensor(found.shape, found.dtype, lambda: value.detach().to(torch.bfloat16))


def _extra_states(loaded: Mapping[str, object]) -> Mapping[str, io.BytesIO]:
    return {
        match[1]: value
        for name, value in loaded.items()
        if (match := _PROJECTION_STATE.match(name)) and isinstance(value, io.BytesIO)
    }
