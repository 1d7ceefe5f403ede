"""Checkpoints of Evo 2 in the official layout, small enough for tests, under real names."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from primase_server.models.evo2.config import VARIANTS
from primase_server.models.evo2.random_state import RandomState
from tests.models.evo2.extra_states import extra_state

NAME, VARIANT = "evo2-1b-base", "evo2_1b_base"
"""A model that is wrong without its 8-bit projections, and has a published loss."""

PLAIN_NAME, PLAIN_VARIANT = "evo2-7b", "evo2_7b"
"""One that needs none."""


def shrink(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give both the fixture's shape."""
    small = VARIANTS["evo2_fixture"]
    monkeypatch.setitem(VARIANTS, VARIANT, replace(small, needs_fp8=True))
    monkeypatch.setitem(VARIANTS, PLAIN_VARIANT, small)


def entries(seed: int = 0) -> dict[str, Any]:
    """Tensors by official name, leftovers of training, and an FP8 state for each projection."""
    state: Mapping[str, Any] = RandomState(VARIANTS["evo2_fixture"], seed)
    tensors = {name: state[name] for name in state}
    scales = {
        name.replace("weight", "_extra_state"): extra_state(48.0, 320.0)
        for name in tensors
        if name.endswith("projections.weight")
    }
    leftovers = {"unembed.weight": tensors["embedding_layer.weight"]}
    return {**tensors, **scales, **leftovers}


def write(path: Path, values: Mapping[str, Any] | None = None) -> Path:
    """A file as the authors publish it."""
    torch.save(dict(entries() if values is None else values), path)
    return path
