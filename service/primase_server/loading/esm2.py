"""ESM-2, read and checked."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from primase_server.loading.demo import demo_folder
from primase_server.loading.loaded import Loaded
from primase_server.loading.precision import dtype_of, products_for
from primase_server.loading.sources import DEMO, FIXTURE, RANDOM, kind_of, seed_of
from primase_server.models.card import WeightsSource
from primase_server.models.errors import CheckpointError
from primase_server.models.esm2 import weights as esm2
from primase_server.models.esm2.config import variant_of
from primase_server.models.esm2.runner import Esm2Runner
from primase_server.models.families import ESM2
from primase_server.models.given_weights import FixtureWeights, RandomWeights
from primase_server.models.hub import catalogue
from primase_server.models.hub.weights_dir import folder_of
from primase_server.models.registry import ServedModel
from primase_server.settings import HUB, Settings

Read = Callable[[esm2.Source], esm2.LoadedEsm2]
"""Reads a source on to the device that the settings name."""


def load(served: ServedModel, source: str, settings: Settings) -> Loaded:
    """Read the weights and check the model.

    Raises CheckpointError, HubError, OSError, PrecisionUnverified.
    """
    products = products_for(settings)
    dtype = dtype_of(ESM2, settings)
    read = partial(esm2.load, device=settings.device, dtype=dtype, make=products.kernel.make)
    loaded = _load(served, source, settings.weights_dir, read)
    runner = Esm2Runner(loaded.model, loaded.weights, products.note)
    runner.self_check()
    return Loaded(runner)


def _load(served: ServedModel, source: str, weights_dir: Path, read: Read) -> esm2.LoadedEsm2:
    if source == HUB:
        return _load_pulled(served, weights_dir, read)
    loaded = read(_source(served.variant, source))
    if source == DEMO:
        return _renamed(loaded, WeightsSource.DEMO)
    return loaded


def _load_pulled(served: ServedModel, weights_dir: Path, read: Read) -> esm2.LoadedEsm2:
    folder = folder_of(weights_dir, catalogue.find(served.name))
    manifest = folder.verified(served.name)
    loaded = read(esm2.LocalWeights(folder.path))
    if (variant := variant_of(loaded.model.config)) != served.variant:
        raise CheckpointError(f"{folder.path} has the shape {variant}, not {served.variant}")
    return _renamed(loaded, WeightsSource.HUB, manifest.revision)


def _renamed(loaded: esm2.LoadedEsm2, source: WeightsSource, revision: str = "") -> esm2.LoadedEsm2:
    return replace(loaded, weights=replace(loaded.weights, source=source, revision=revision))


def _source(variant: str, source: str) -> esm2.Source:
    if kind_of(source) == RANDOM:
        return RandomWeights(variant, seed_of(source))
    if source == DEMO and (folder := demo_folder("esm2")):
        return esm2.LocalWeights(folder)
    if source in (FIXTURE, DEMO):
        return FixtureWeights()
    return esm2.LocalWeights(Path(source))
