"""Where a ProGen2 model's weights come from, and a model made of them."""

from dataclasses import dataclass
from pathlib import Path

import torch

from primase_server.models.card import Weights, WeightsSource
from primase_server.models.checksum import checksum
from primase_server.models.errors import CheckpointError
from primase_server.models.given_weights import FixtureWeights, RandomWeights
from primase_server.models.linear import MakeProduct, plain
from primase_server.models.progen2.archive import is_archive, unpacked
from primase_server.models.progen2.checkpoint import Checkpoint, open_official
from primase_server.models.progen2.config import VARIANTS, ProGen2Config
from primase_server.models.progen2.model import ProGen2
from primase_server.models.progen2.random_state import RandomState
from primase_server.models.progen2.vocabulary import dead_rows_note

FIXTURE = Path(__file__).parent / "fixture"
CUSTOM = "custom"


@dataclass(frozen=True)
class LocalWeights:
    """A directory of the official layout, a file of weights in one, or the official archive.

    The files do not say which model they are; `variant` is what the operator calls it, where that
    is a published one.
    """

    path: Path
    variant: str | None = None


Source = LocalWeights | RandomWeights | FixtureWeights


@dataclass(frozen=True, eq=False)
class LoadedProGen2:
    """A model, the name of its variant or `custom`, and the identity of its weights.

    `note` is what else there is to know of its numbers.
    """

    model: ProGen2
    variant: str
    weights: Weights
    note: str = ""


def load(
    source: Source,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    make: MakeProduct = plain,
) -> LoadedProGen2:
    """Read a source on to a device; raises CheckpointError for files that will not do.

    `make` builds the products of the blocks from their weights, which are then let go.
    """
    if isinstance(source, RandomWeights):
        config, variant = _variant(source.variant), source.variant
        revision = f"{source.variant}-seed-{source.seed}"
        weights = Weights(WeightsSource.RANDOM, revision=revision, trained=False)
        checkpoint = Checkpoint(config, RandomState(config, source.seed), ())
    else:
        is_fixture = isinstance(source, FixtureWeights)
        if isinstance(source, FixtureWeights):
            source = LocalWeights(FIXTURE, "progen2-fixture")
        checkpoint = open_checkpoint(source)
        kind = WeightsSource.FIXTURE if is_fixture else WeightsSource.FILE
        weights = Weights(kind, checksum=checksum(checkpoint.files), trained=not is_fixture)
        variant = source.variant or CUSTOM
    with torch.inference_mode():
        model = ProGen2(checkpoint.config, checkpoint.tensors, torch.device(device), dtype, make)
    is_read = weights.source is not WeightsSource.RANDOM
    note = dead_rows_note(model, checkpoint.tensors) if is_read else ""
    return LoadedProGen2(model, variant, weights, note)


def open_checkpoint(source: LocalWeights) -> Checkpoint:
    """Find the files, check them, and hold them to the variant they are called.

    An archive is unpacked beside itself, the first time. Raises CheckpointError.
    """
    path = source.path
    checkpoint = open_official(unpacked(path) if is_archive(path) else path)
    if source.variant is not None:
        found, known = checkpoint.config, _variant(source.variant)
        # what else a shape has is said by the configuration alone, so that it is believed
        if (found.num_layers, found.width) != (known.num_layers, known.width):
            raise CheckpointError(
                f"{path} has {found.num_layers} blocks of width {found.width}, "
                f"which is not {source.variant}"
            )
    return checkpoint


def _variant(name: str) -> ProGen2Config:
    config = VARIANTS.get(name)
    if config is None:
        known = ", ".join(VARIANTS)
        raise CheckpointError(f"{name[:64]!r} is not a ProGen2 variant; those are {known}")
    return config
