"""Evo 2, read, placed, and held to what its authors published."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from primase_server.loading.demo import demo_folder
from primase_server.loading.devices import room_on, visible_devices
from primase_server.loading.evo2_verdict import verdict_on
from primase_server.loading.loaded import Loaded
from primase_server.loading.precision import dtype_of, products_for
from primase_server.loading.sources import DEMO, FIXTURE, RANDOM, kind_of, seed_of
from primase_server.models.card import WeightsSource
from primase_server.models.evo2 import weights as evo2
from primase_server.models.evo2.generator import Evo2Generator
from primase_server.models.evo2.runner import Evo2Runner
from primase_server.models.families import EVO2
from primase_server.models.given_weights import FixtureWeights, RandomWeights
from primase_server.models.hub import catalogue
from primase_server.models.hub.weights_dir import folder_of
from primase_server.models.registry import ServedModel
from primase_server.settings import HUB, Settings


def load(served: ServedModel, source: str, settings: Settings) -> Loaded:
    """Read the weights, and find out whether the numbers are right.

    Raises CheckpointError, HubError, OSError, PrecisionUnverified.
    """
    devices = visible_devices(settings.device)
    loaded = read(served, source, settings, devices)
    notes = [products_for(settings, EVO2).note, loaded.projections.note]
    Evo2Runner(loaded.model, loaded.weights).self_check()
    verdict = verdict_on(loaded, devices, settings.weights_dir)
    weights = replace(loaded.weights, verified=verdict.verified)
    notes += (verdict.note, verdict.doubt and f"UNVERIFIED: {verdict.doubt}")
    note = "; ".join(filter(None, notes))
    runner = Evo2Runner(loaded.model, weights, note, loaded.variant)
    room = room_on(devices, settings.limits).halved()
    return Loaded(runner, verdict.doubt, room, Evo2Generator(loaded.model))


def read(
    served: ServedModel, source: str, settings: Settings, devices: tuple[torch.device, ...]
) -> evo2.LoadedEvo2:
    """The model on its devices."""
    make = products_for(settings, EVO2).kernel.make
    load = partial(evo2.load, devices=devices, dtype=dtype_of(EVO2, settings), make=make)
    if source == HUB:
        folder = folder_of(settings.weights_dir, catalogue.find(served.name))
        manifest = folder.verified(served.name)
        loaded = load(evo2.LocalWeights(folder.path, served.variant))
        return _renamed(loaded, WeightsSource.HUB, manifest.revision)
    loaded = load(_source(served.variant, source))
    return _renamed(loaded, WeightsSource.DEMO) if source == DEMO else loaded


def _renamed(loaded: evo2.LoadedEvo2, source: WeightsSource, revision: str = "") -> evo2.LoadedEvo2:
    return replace(loaded, weights=replace(loaded.weights, source=source, revision=revision))


def _source(variant: str, source: str) -> evo2.Source:
    if kind_of(source) == RANDOM:
        return RandomWeights(variant, seed_of(source))
    if source == DEMO and (folder := demo_folder("evo2")):
        return evo2.LocalWeights(folder)
    if source in (FIXTURE, DEMO):
        return FixtureWeights()
    return evo2.LocalWeights(Path(source), variant or None)
