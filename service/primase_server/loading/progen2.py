"""ProGen2, read and checked."""

from dataclasses import replace
from functools import partial
from pathlib import Path

from primase_server.loading.demo import demo_folder
from primase_server.loading.devices import room_on, visible_devices
from primase_server.loading.loaded import Loaded
from primase_server.loading.precision import dtype_of, products_for
from primase_server.loading.sources import DEMO, FIXTURE, RANDOM, kind_of, seed_of
from primase_server.models.card import WeightsSource
from primase_server.models.families import PROGEN2
from primase_server.models.given_weights import FixtureWeights, RandomWeights
from primase_server.models.hub import catalogue
from primase_server.models.hub.weights_dir import folder_of
from primase_server.models.progen2 import weights as progen2
from primase_server.models.progen2.generator import ProGen2Generator
from primase_server.models.progen2.runner import ProGen2Runner
from primase_server.models.registry import ServedModel
from primase_server.settings import HUB, Settings


def load(served: ServedModel, source: str, settings: Settings) -> Loaded:
    """Read the weights and check the model.

    Raises CheckpointError, HubError, OSError, PrecisionUnverified.
    """
    loaded = _load(served, source, settings)
    note = "; ".join(filter(None, (products_for(settings, PROGEN2).note, loaded.note)))
    runner = ProGen2Runner(loaded.model, loaded.weights, note, loaded.variant)
    runner.self_check()
    room = room_on((loaded.model.device,), settings.limits).halved()
    return Loaded(runner, room=room, generator=ProGen2Generator(loaded.model))


def _load(served: ServedModel, source: str, settings: Settings) -> progen2.LoadedProGen2:
    device = visible_devices(settings.device)[0]
    make = products_for(settings, PROGEN2).kernel.make
    load = partial(progen2.load, device=device, dtype=dtype_of(PROGEN2, settings), make=make)
    if source == HUB:
        folder = folder_of(settings.weights_dir, catalogue.find(served.name))
        manifest = folder.verified(served.name)
        loaded = load(progen2.LocalWeights(folder.path, served.variant))
        return _renamed(loaded, WeightsSource.HUB, manifest.revision)
    loaded = load(_source(served.variant, source))
    return _renamed(loaded, WeightsSource.DEMO) if source == DEMO else loaded


def _renamed(
    loaded: progen2.LoadedProGen2, source: WeightsSource, revision: str = ""
) -> progen2.LoadedProGen2:
    return replace(loaded, weights=replace(loaded.weights, source=source, revision=revision))


def _source(variant: str, source: str) -> progen2.Source:
    if kind_of(source) == RANDOM:
        return RandomWeights(variant, seed_of(source))
    if source == DEMO and (folder := demo_folder("progen2")):
        return progen2.LocalWeights(folder)
    if source in (FIXTURE, DEMO):
        return FixtureWeights()
    return progen2.LocalWeights(Path(source), variant or None)
