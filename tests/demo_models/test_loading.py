"""`demo` is the trained model of a family where the dist has one, and the fixture where not."""

from pathlib import Path

import pytest

from primase_server.loading import esm2, evo2, progen2
from primase_server.loading.demo import demo_folder
from primase_server.loading.sources import configured
from primase_server.models.card import WeightsSource
from primase_server.settings import ModelSettings, Settings

LOADERS = {"esm2": esm2.load, "evo2": evo2.load, "progen2": progen2.load}
SETTINGS = Settings(num_threads=1)


def test_without_the_dist_there_is_no_folder() -> None:
    assert demo_folder("progen2") is None


@pytest.mark.parametrize("family", LOADERS)
def test_a_family_of_the_dist_is_served_as_demo(
    family: str, installed: Path, tmp_path: Path
) -> None:
    assert demo_folder(family) == installed / family
    served = configured(ModelSettings(f"{family}-demo", "demo"), tmp_path)
    found = LOADERS[family](served, "demo", SETTINGS)
    card = found.runner.card(f"{family}-demo")
    assert card.weights.source is WeightsSource.DEMO
    assert card.weights.trained
    assert card.weights.checksum


@pytest.mark.usefixtures("installed")
def test_a_family_that_the_dist_lacks_is_the_fixture() -> None:
    assert demo_folder("no-such-family") is None
