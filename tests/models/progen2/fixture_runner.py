"""The committed fixture behind a runner, made once."""

from functools import cache

from primase_server.models.given_weights import FixtureWeights
from primase_server.models.progen2.runner import ProGen2Runner
from primase_server.models.progen2.weights import load


@cache
def runner() -> ProGen2Runner:
    loaded = load(FixtureWeights())
    return ProGen2Runner(loaded.model, loaded.weights, variant=loaded.variant)
