"""A model that was trained in 8 bits is built with its scales, or not at all."""

from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch

from primase_server.models.errors import CheckpointError
from primase_server.models.evo2.config import VARIANTS
from primase_server.models.evo2.projections import emulated_projection
from primase_server.models.evo2.weights import LoadedEvo2, LocalWeights, load
from primase_server.models.given_weights import RandomWeights
from tests.loading.evo2_files import VARIANT, entries, shrink, write
from tests.models.evo2 import running
from tests.models.evo2.running import random_bases, relative_error

STATE = "blocks.1.projections._extra_state"


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch)


def read(folder: Path, values: dict[str, Any]) -> LoadedEvo2:
    return load(LocalWeights(write(folder / f"{VARIANT}.pt", values)))


def test_its_numbers_are_those_of_8_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rounded = read(tmp_path, entries())
    assert rounded.projections.make is emulated_projection
    monkeypatch.setitem(VARIANTS, VARIANT, replace(VARIANTS[VARIANT], needs_fp8=False))
    plain = read(tmp_path, entries())
    assert plain.projections.make is None
    tokens = random_bases(1, 200)
    error = relative_error(running.full(rounded.model, tokens), running.full(plain.model, tokens))
    assert 0.01 < error < 2


def test_chunks_give_the_same(tmp_path: Path) -> None:
    """To what rounding to another value of 8 bits makes of noise."""
    model, tokens = read(tmp_path, entries()).model, random_bases(2, 200)
    with torch.inference_mode():
        assert relative_error(running.full(model, tokens, 64), running.full(model, tokens)) < 0.05


def test_random_weights_need_no_scales() -> None:
    loaded = load(RandomWeights(VARIANT))
    assert loaded.projections.make is None
    assert loaded.projections.note == "weights without FP8 scales: no product is in FP8"


@pytest.mark.parametrize("state", [None, BytesIO(b"not a state")])
def test_a_projection_without_scales_is_named(tmp_path: Path, state: BytesIO | None) -> None:
    damaged = entries()
    if state is None:
        del damaged[STATE]
    else:
        damaged[STATE] = state
    with pytest.raises(CheckpointError, match=r"^blocks\.1\.projections"):
        read(tmp_path, damaged)
