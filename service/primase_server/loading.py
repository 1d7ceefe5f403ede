"""From a configured name to a loaded model, by family."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from primase_server.models import cpu_linear
from primase_server.models.card import WeightsSource
from primase_server.models.errors import CheckpointError
from primase_server.models.esm2 import weights as esm2
from primase_server.models.esm2.config import SLUGS, variant_of
from primase_server.models.esm2.runner import FAMILY, Esm2Runner
from primase_server.models.hub import catalogue
from primase_server.models.hub.errors import NotPulled
from primase_server.models.hub.weights_dir import folder_of
from primase_server.models.registry import ServedModel
from primase_server.settings import CPU, FLOAT32, HUB, ModelSettings, Settings

RANDOM = "random"
FIXTURE = "fixture"
DEMO = "demo"

Read = Callable[[esm2.Source], esm2.LoadedEsm2]
"""Reads a source on to the device that the settings name."""


def configured(model: ModelSettings, weights_dir: Path) -> ServedModel:
    """A model as the settings name it, not loaded yet. Raises ValueError for what cannot be.

    A name decides the shape of random weights and which weights of the hub, so those need an
    official name; and what comes from the hub must have been pulled.
    """
    kind, _, seed = model.source.partition(":")
    if kind == RANDOM and model.name not in SLUGS:
        raise ValueError(f"random weights need one of the names {', '.join(SLUGS)}")
    if kind == RANDOM and seed and not seed.isdecimal():
        raise ValueError(f"{model.source!r}: the seed is a whole number, as in random:7")
    if kind == HUB:
        _require_pulled(model.name, weights_dir)
    return ServedModel(model.name, FAMILY, SLUGS.get(model.name, ""), model.aliases)


def load(served: ServedModel, source: str, settings: Settings) -> Esm2Runner:
    """Read the weights and check the model.

    Raises CheckpointError, HubError, OSError, PrecisionUnverified. Blocking: takes seconds to
    minutes.
    """
    torch.set_num_threads(settings.num_threads)
    products = products_for(settings)
    dtype = getattr(torch, settings.dtype)
    read = partial(esm2.load, device=settings.device, dtype=dtype, make=products.kernel.make)
    loaded = _load(served, source, settings.weights_dir, read)
    runner = Esm2Runner(loaded.model, loaded.weights, products.note)
    runner.self_check()
    return runner


def products_for(settings: Settings) -> cpu_linear.Chosen:
    """The kernel of the linear products: the operator's choice on a CPU in float32, else torch's.

    8-bit weights serve only where the operator named them, so no dialect answers from them unasked.
    """
    if settings.dtype != FLOAT32:
        note = f"products of the blocks in {settings.dtype}, everything else in float32"
        return cpu_linear.Chosen(cpu_linear.PLAIN, note)
    if settings.device != CPU:
        return cpu_linear.Chosen(cpu_linear.PLAIN, cpu_linear.PLAIN.note)
    return cpu_linear.choose(settings.cpu_linear)


def _load(served: ServedModel, source: str, weights_dir: Path, read: Read) -> esm2.LoadedEsm2:
    if source == HUB:
        return _load_pulled(served.name, weights_dir, read)
    loaded = read(_source(served.variant, source))
    if source == DEMO:
        return _renamed(loaded, WeightsSource.DEMO)
    return loaded


def _load_pulled(name: str, weights_dir: Path, read: Read) -> esm2.LoadedEsm2:
    folder = folder_of(weights_dir, catalogue.find(name))
    manifest = folder.verified(name)
    loaded = read(esm2.LocalWeights(folder.path))
    if (variant := variant_of(loaded.model.config)) != SLUGS[name]:
        raise CheckpointError(f"{folder.path} has the shape {variant}, not {SLUGS[name]}")
    return _renamed(loaded, WeightsSource.HUB, manifest.revision)


def _renamed(loaded: esm2.LoadedEsm2, source: WeightsSource, revision: str = "") -> esm2.LoadedEsm2:
    return replace(loaded, weights=replace(loaded.weights, source=source, revision=revision))


def _require_pulled(name: str, weights_dir: Path) -> None:
    folder = folder_of(weights_dir, catalogue.find(name))
    if folder.manifest() is None:
        raise NotPulled(
            f"{name} is not in {folder.path}: "
            f"run `primase models pull {name}`, or serve with --pull"
        )


def _source(variant: str, source: str) -> esm2.Source:
    kind, _, seed = source.partition(":")
    if kind == RANDOM:
        return esm2.RandomWeights(variant, int(seed or 0))
    if source in (FIXTURE, DEMO):
        return esm2.FixtureWeights()
    return esm2.LocalWeights(Path(source))
