"""Where an ESM-2 model's weights come from, and a model made of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from primase_server.models.card import Weights, WeightsSource
from primase_server.models.checksum import checksum
from primase_server.models.errors import CheckpointError
from primase_server.models.esm2.checkpoint import Checkpoint
from primase_server.models.esm2.config import VARIANTS, Esm2Config
from primase_server.models.esm2.fair_checkpoint import REGRESSION_SUFFIX, open_fair
from primase_server.models.esm2.hub_checkpoint import open_hub
from primase_server.models.esm2.model import Esm2
from primase_server.models.esm2.random_state import RandomState
from primase_server.models.given_weights import FixtureWeights, RandomWeights
from primase_server.models.hub_layout import find_weights
from primase_server.models.linear import MakeProduct, plain

FIXTURE = Path(__file__).parent / "fixture" / "esm2_fixture.pt"


@dataclass(frozen=True)
class LocalWeights:
    """A fair-esm `.pt`, a file of the hub's weights, or a directory of the hub's layout."""

    path: Path


Source = LocalWeights | RandomWeights | FixtureWeights


@dataclass(frozen=True, eq=False)
class LoadedEsm2:
    """A model and the identity of its weights."""

    model: Esm2
    weights: Weights


def load(
    source: Source,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    make: MakeProduct = plain,
) -> LoadedEsm2:
    """Read a source on to a device; raises CheckpointError for files that will not do.

    `make` builds the products of the blocks from their weights, which are then let go.
    """
    if isinstance(source, RandomWeights):
        return _load_random(source, torch.device(device), dtype, make)
    path, kind = _path_and_kind(source)
    checkpoint = open_checkpoint(path)
    weights = Weights(kind, checksum=checksum(checkpoint.files), trained=kind is WeightsSource.FILE)
    model = _build(checkpoint.config, checkpoint.tensors, torch.device(device), dtype, make)
    return LoadedEsm2(model, weights)


def open_checkpoint(path: Path) -> Checkpoint:
    """Recognise the layout of a file or directory and check it; raises CheckpointError."""
    if path.is_dir():
        return _open_directory(path)
    if not path.is_file():
        raise CheckpointError(f"there is no file {path}")
    if path.suffix == ".pt":
        return open_fair(path)
    if path.suffix in (".safetensors", ".bin"):
        return open_hub(path)
    raise CheckpointError(
        f"{path.name} is none of a fair-esm .pt, a .safetensors file and the hub's .bin"
    )


def _path_and_kind(source: LocalWeights | FixtureWeights) -> tuple[Path, WeightsSource]:
    if isinstance(source, LocalWeights):
        return source.path, WeightsSource.FILE
    return FIXTURE, WeightsSource.FIXTURE


def _load_random(
    source: RandomWeights, device: torch.device, dtype: torch.dtype, make: MakeProduct
) -> LoadedEsm2:
    config = VARIANTS.get(source.variant)
    if config is None:
        known = ", ".join(VARIANTS)
        raise CheckpointError(f"{source.variant[:64]!r} is not an ESM-2 variant; those are {known}")
    revision = f"{source.variant}-seed-{source.seed}"
    weights = Weights(WeightsSource.RANDOM, revision=revision, trained=False)
    state = RandomState(config, source.seed)
    return LoadedEsm2(_build(config, state, device, dtype, make), weights)


def _build(
    config: Esm2Config,
    state: Mapping[str, Tensor],
    device: torch.device,
    dtype: torch.dtype,
    make: MakeProduct,
) -> Esm2:
    with torch.inference_mode():
        return Esm2(config, state, device, dtype, make)


def _open_directory(path: Path) -> Checkpoint:
    if find_weights(path) is not None:
        return open_hub(path)
    mains = [file for file in path.glob("*.pt") if not file.name.endswith(REGRESSION_SUFFIX)]
    if len(mains) != 1:
        raise CheckpointError(
            f"{path} holds neither the hub's weights nor exactly one fair-esm .pt"
        )
    return open_fair(mains[0])
