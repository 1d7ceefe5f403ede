"""The committed fixture is what its script makes, in the official layout."""

import json
from pathlib import Path

import torch

from primase_server.models.given_weights import FixtureWeights
from primase_server.models.progen2.config import VARIANTS
from primase_server.models.progen2.weights import FIXTURE, load
from tools.make_progen2_fixture import WEIGHTS, make_state, official_config, save

MAX_BYTES = 1_000_000
CONFIG = VARIANTS["progen2-fixture"]


def test_the_script_makes_the_committed_files(tmp_path: Path) -> None:
    save(official_config(CONFIG), make_state(CONFIG), tmp_path)
    for name in ("config.json", WEIGHTS):
        made, committed = tmp_path / name, FIXTURE / name
        if name == WEIGHTS:
            tensors = torch.load(made, weights_only=True)
            expected = torch.load(committed, weights_only=True)
            assert list(tensors) == list(expected)
            assert all(torch.equal(tensors[key], expected[key]) for key in expected)
        else:
            assert json.loads(made.read_text()) == json.loads(committed.read_text())


def test_the_fixture_is_small() -> None:
    assert sum(path.stat().st_size for path in FIXTURE.iterdir()) < MAX_BYTES


def test_the_fixture_shows_a_head_that_is_turned_too_far() -> None:
    model = load(FixtureWeights()).model
    assert model.config == CONFIG
    assert CONFIG.rotary_dims < CONFIG.head_dim
