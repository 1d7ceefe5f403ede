"""From a configured name to a loaded model, by family."""

from dataclasses import replace
from pathlib import Path

import torch

from primase_server.models.card import WeightsSource
from primase_server.models.esm2 import weights as esm2
from primase_server.models.esm2.config import SLUGS
from primase_server.models.esm2.runner import FAMILY, Esm2Runner
from primase_server.models.registry import ServedModel
from primase_server.settings import ModelSettings, Settings

RANDOM = "random"
FIXTURE = "fixture"
DEMO = "demo"


def configured(model: ModelSettings) -> ServedModel:
    """A model as the settings name it, not loaded yet. Raises ValueError for what cannot be.

    A name decides the shape of random weights, so those need an official name.
    """
    kind, _, seed = model.source.partition(":")
    if kind == RANDOM and model.name not in SLUGS:
        raise ValueError(f"random weights need one of the names {', '.join(SLUGS)}")
    if kind == RANDOM and seed and not seed.isdecimal():
        raise ValueError(f"{model.source!r}: the seed is a whole number, as in random:7")
    return ServedModel(model.name, FAMILY, SLUGS.get(model.name, ""), model.aliases)


def load(served: ServedModel, source: str, settings: Settings) -> Esm2Runner:
    """Read the weights and check the model. Raises CheckpointError, OSError, PrecisionUnverified.

    Blocking: takes seconds to minutes.
    """
    torch.set_num_threads(settings.num_threads)
    loaded = esm2.load(
        _source(served.variant, source), settings.device, getattr(torch, settings.dtype)
    )
    weights = loaded.weights
    if source == DEMO:
        weights = replace(weights, source=WeightsSource.DEMO)
    runner = Esm2Runner(loaded.model, weights)
    runner.self_check()
    return runner


def _source(variant: str, source: str) -> esm2.Source:
    kind, _, seed = source.partition(":")
    if kind == RANDOM:
        return esm2.RandomWeights(variant, int(seed or 0))
    if source in (FIXTURE, DEMO):
        return esm2.FixtureWeights()
    return esm2.LocalWeights(Path(source))
