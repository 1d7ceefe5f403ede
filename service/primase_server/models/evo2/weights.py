"""Where an Evo 2 model's weights come from, and a model made of them."""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from primase_server.models.card import Weights, WeightsSource
from primase_server.models.checksum import checksum
from primase_server.models.errors import CheckpointError
from primase_server.models.evo2.checkpoint import Checkpoint, expected_shapes, open_official
from primase_server.models.evo2.config import (
    VARIANTS,
    BlockKind,
    Evo2Config,
    read_config,
    variant_of,
)
from primase_server.models.evo2.extra_state import read_scales
from primase_server.models.evo2.hyena import modal_table_bytes
from primase_server.models.evo2.model import Evo2
from primase_server.models.evo2.parts import without_part
from primase_server.models.evo2.placement import place
from primase_server.models.evo2.projections import Chosen, choose
from primase_server.models.evo2.random_state import RandomState
from primase_server.models.given_weights import FixtureWeights, RandomWeights
from primase_server.models.linear import MakeProduct, plain

FIXTURE = Path(__file__).parent / "fixture" / "evo2_fixture.pt"
CONFIG = "config.yml"
"""A shape in the official keys, next to a checkpoint of no published model."""


@dataclass(frozen=True)
class LocalWeights:
    """An official `.pt`, whole or in parts, or a directory that holds one.

    The file does not say its shape: that is `variant`'s, or that of a `config.yml` next to it, or
    of the variant that the file is named after.
    """

    path: Path
    variant: str | None = None


Source = LocalWeights | RandomWeights | FixtureWeights


@dataclass(frozen=True, eq=False)
class LoadedEvo2:
    """A model, the name of its variant or `custom`, its weights, and its kind of projections."""

    model: Evo2
    variant: str
    weights: Weights
    projections: Chosen


def load(
    source: Source,
    devices: torch.device | str | Sequence[torch.device] = "cpu",
    dtype: torch.dtype = torch.float32,
    make: MakeProduct = plain,
) -> LoadedEvo2:
    """Read a source on to a device, or over several; raises CheckpointError.

    `make` builds the products of the blocks from their weights, which are then let go; those in
    front of the hyena blocks are made in 8 bits where the model was trained so.
    """
    if isinstance(source, RandomWeights):
        config = _variant(source.variant)
        weights = Weights(
            WeightsSource.RANDOM, revision=f"{source.variant}-seed-{source.seed}", trained=False
        )
        checkpoint = Checkpoint(config, RandomState(config, source.seed), {}, ())
        variant = source.variant
    else:
        is_fixture = isinstance(source, FixtureWeights)
        if isinstance(source, FixtureWeights):
            source = LocalWeights(FIXTURE, FIXTURE.stem)
        checkpoint = open_checkpoint(source)
        kind = WeightsSource.FIXTURE if is_fixture else WeightsSource.FILE
        weights = Weights(kind, checksum=checksum(checkpoint.files), trained=not is_fixture)
        variant = source.variant or variant_of(checkpoint.config)
    placed = block_devices(checkpoint.config, devices, dtype)
    projections = _projections(checkpoint, placed[0], weights)
    model = _build(checkpoint, placed, dtype, make, projections)
    return LoadedEvo2(model, variant, weights, projections)


def open_checkpoint(source: LocalWeights) -> Checkpoint:
    """Find the file and its shape, and check its tensors; raises CheckpointError."""
    path = _file(source.path)
    return open_official(path, _config(source.variant, path))


def block_devices(
    config: Evo2Config,
    devices: torch.device | str | Sequence[torch.device],
    dtype: torch.dtype,
) -> Sequence[torch.device]:
    """The device of each block; several devices are filled by what memory they have free.

    Raises CheckpointError where the model does not fit on them.
    """
    if isinstance(devices, torch.device | str):
        return [torch.device(devices)] * config.num_layers
    if len(devices) == 1:
        return [devices[0]] * config.num_layers
    free = [torch.cuda.mem_get_info(device)[0] for device in devices]
    return [devices[index] for index in place(block_bytes(config, dtype), free)]


def block_bytes(config: Evo2Config, dtype: torch.dtype) -> Sequence[int]:
    """Bytes of the weights of each block; what lies outside the blocks goes to the first."""
    sizes = [0] * config.num_layers
    for name, shape in expected_shapes(config).items():
        layer = int(name.split(".")[1]) if name.startswith("blocks.") else 0
        sizes[layer] += math.prod(shape) * dtype.itemsize
    for layer in config.hcl_layers:
        sizes[layer] += config.width * modal_table_bytes(config.num_modes)
    return sizes


def _projections(checkpoint: Checkpoint, device: torch.device, weights: Weights) -> Chosen:
    """The form of the input projections; raises CheckpointError naming one without its scales."""
    is_random = weights.source is WeightsSource.RANDOM
    if checkpoint.config.needs_fp8 and not is_random:
        _check_scales(checkpoint)
    return choose(device, needs_fp8=checkpoint.config.needs_fp8, has_scales=not is_random)


def _check_scales(checkpoint: Checkpoint) -> None:
    config = checkpoint.config
    for layer in range(config.num_layers):
        if config.kind(layer) is BlockKind.ATTENTION:
            continue
        name = f"blocks.{layer}.projections"
        if (state := checkpoint.extra_states.get(name)) is None:
            raise CheckpointError(f"{name} has no FP8 scales, with which it was trained")
        try:
            read_scales(state)
        except CheckpointError as error:
            raise CheckpointError(f"{name}: {error}") from error


def _build(
    checkpoint: Checkpoint,
    devices: Sequence[torch.device],
    dtype: torch.dtype,
    make: MakeProduct,
    projections: Chosen,
) -> Evo2:
    tensors: Mapping[str, Tensor] = checkpoint.tensors
    scales: Mapping[str, io.BytesIO] = checkpoint.extra_states
    with torch.inference_mode():
        return Evo2(checkpoint.config, tensors, devices, dtype, make, projections.make, scales)


def _file(path: Path) -> Path:
    """The `.pt` meant by a path, which may be there in parts only."""
    if not path.is_dir():
        return without_part(path)
    found = {without_part(file) for file in path.glob("*.pt*")}
    files = [file for file in found if file.suffix == ".pt"]
    if len(files) != 1:
        raise CheckpointError(f"{path} does not hold exactly one .pt")
    return files[0]


def _config(variant: str | None, path: Path) -> Evo2Config:
    if variant is not None:
        return _variant(variant)
    beside = path.with_name(CONFIG)
    if beside.is_file():
        return read_config(beside)
    return _variant(path.stem)


def _variant(name: str) -> Evo2Config:
    config = VARIANTS.get(name)
    if config is None:
        known = ", ".join(VARIANTS)
        raise CheckpointError(f"{name[:64]!r} is not an Evo 2 variant; those are {known}")
    return config
