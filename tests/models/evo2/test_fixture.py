"""The committed fixture is what its script makes, in the official layout."""

import io
from pathlib import Path

import torch

from primase_server.models.evo2.config import VARIANTS
from primase_server.models.evo2.weights import FIXTURE, load
from primase_server.models.given_weights import FixtureWeights
from tools.make_evo2_fixture import make_state, save

MAX_BYTES = 2_000_000


def read(path: Path) -> dict[str, object]:
    with torch.serialization.safe_globals([io.BytesIO]):
        entries: dict[str, object] = torch.load(path, weights_only=True)
    return entries


def test_the_script_makes_the_committed_entries(tmp_path: Path) -> None:
    made = read(save(make_state(VARIANTS["evo2_fixture"]), tmp_path))
    committed = read(FIXTURE)
    assert list(made) == list(committed)
    for name, entry in committed.items():
        again = made[name]
        if isinstance(entry, torch.Tensor):
            assert isinstance(again, torch.Tensor)
            assert torch.equal(again, entry), name
        else:
            assert isinstance(entry, io.BytesIO)
            assert isinstance(again, io.BytesIO)


def test_the_fixture_is_small() -> None:
    assert sum(path.stat().st_size for path in FIXTURE.parent.iterdir()) < MAX_BYTES


def test_the_fixture_has_the_blocks_of_the_1b_model() -> None:
    fixture, official = VARIANTS["evo2_fixture"], VARIANTS["evo2_1b_base"]
    assert [fixture.kind(layer) for layer in range(25)] == [
        official.kind(layer) for layer in range(25)
    ]
    assert load(FixtureWeights()).model.config == fixture
