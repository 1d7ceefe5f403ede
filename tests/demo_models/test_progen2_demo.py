"""progen2-demo writes antibodies."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from primase.progen2.v1 import progen2_service_pb2 as pb
from primase.type.v1 import generation_pb2
from primase_server.models.progen2.weights import LocalWeights, load
from primase_server.settings import ModelSettings
from tests.outside import outside
from tests.rpc.live import SETTINGS, serving
from tools.train_demo.protein_measures import is_one_vh, log_likelihoods, shuffled
from tools.train_demo.proteins import Split, read_antibodies

MOST_BYTES = 6_000_000
NAME = "progen2-demo"
MOST_COPIES = 10
"""Of a hundred; docs/demo-models.md tells how many there are."""


@pytest.fixture
def samples(installed: Path) -> list[str]:
    """A hundred of the documented call, from the service as it is with the dist installed."""
    settings = replace(SETTINGS, models=(ModelSettings(NAME, "demo"),))
    sampling = generation_pb2.Sampling(temperature=0.7, top_p=0.6, seed=1)
    asked = pb.GenerateRequest(
        model=NAME,
        items=[pb.GenerateItem(id=name, context="EVQ") for name in "ab"],
        options=pb.GenerateOptions(max_new_residues=172, num_samples=50, sampling=sampling),
    )
    with serving(settings) as live:
        answer = live.progen2.Generate(asked)
    return [sample.finished.sequence for sample in answer.samples]


def test_the_documented_call_gives_antibodies(samples: list[str]) -> None:
    assert len(samples) == 100
    assert sum(map(is_one_vh, samples)) >= 90
    # neither one sequence again and again, nor those that it read
    assert len(set(samples)) >= 50
    known = {one.sequence for one in read_antibodies(outside("data"))}
    assert sum(sample in known for sample in samples) <= MOST_COPIES


def test_antibodies_that_it_never_saw_score_above_the_same_residues_shuffled(
    shipped: Path, split: Split, reported: Callable[[str], Any]
) -> None:
    assert split.digest == reported("progen2")["split"]
    antibodies = [one.sequence for one in split.test if one.source in ("VH", "VL")][::3]
    model = load(LocalWeights(shipped / "progen2")).model
    generator = np.random.default_rng(0)
    real = log_likelihoods(model, antibodies)
    mixed = log_likelihoods(model, [shuffled(one, generator) for one in antibodies])
    assert len(antibodies) >= 40
    assert (real > mixed).all()


def test_it_is_small(shipped: Path) -> None:
    assert sum(file.stat().st_size for file in (shipped / "progen2").iterdir()) < MOST_BYTES
