"""esm2-demo knows more of a residue than how common it is."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from primase.esm2.v1 import esm2_service_pb2 as pb
from primase.models.v1 import model_service_pb2 as models_pb
from primase_server.models.esm2.model import Esm2
from primase_server.models.esm2.weights import LocalWeights, load
from primase_server.settings import ModelSettings
from tests.rpc.live import SETTINGS, serving
from tools.train_demo.protein_measures import (
    VH,
    background,
    background_log_probs,
    perplexity_ratios,
    recover,
    recover_frameworks,
)
from tools.train_demo.proteins import Protein, Split

MOST_BYTES = 6_000_000
MOST_RATIO = 0.9
NAME = "esm2-demo"


@pytest.fixture(scope="module")
def model(shipped: Path) -> Esm2:
    return load(LocalWeights(shipped / "esm2")).model


def antibodies(proteins: tuple[Protein, ...]) -> list[Protein]:
    return [one for one in proteins if one.source in ("VH", "VL")]


def test_it_was_reported_on_what_it_did_not_learn_from(
    split: Split, reported: Callable[[str], Any]
) -> None:
    assert split.digest == reported("esm2")["split"]


def test_masked_residues_are_less_perplexing_than_by_frequency(
    model: Esm2, split: Split, reported: Callable[[str], Any]
) -> None:
    some = split.test[::3]
    found = recover(model, some)
    by_background = background_log_probs(found, some, background(split.training))
    ratio, bound = perplexity_ratios(found, by_background)
    assert len(some) >= 200
    assert ratio < bound < MOST_RATIO
    whole = reported("esm2")["all"]
    assert whole["ratio_upper_bound"] < MOST_RATIO
    assert ratio == pytest.approx(whole["ratio"], abs=0.03)


def test_antibody_frameworks_are_recovered(
    model: Esm2, split: Split, reported: Callable[[str], Any]
) -> None:
    found = recover_frameworks(model, antibodies(split.training), antibodies(split.test))
    assert found.residues >= 1000
    assert found.recovered > found.blind_baseline
    assert found.above_blind_bound > 0
    assert found.recovered == pytest.approx(reported("esm2")["framework"]["recovered"], abs=0.01)


def test_it_is_small_and_has_both_heads(model: Esm2, shipped: Path) -> None:
    assert sum(file.stat().st_size for file in (shipped / "esm2").iterdir()) < MOST_BYTES
    assert model.lm_head is not None
    assert model.contact_head is not None


@pytest.mark.usefixtures("installed")
def test_the_service_fills_a_framework_in_and_says_that_it_was_trained() -> None:
    places = [VH.index("WVRQ"), VH.index("WGQG")]
    sequence = "".join("<mask>" if i in places else one for i, one in enumerate(VH))
    settings = replace(SETTINGS, models=(ModelSettings(NAME, "demo"),))
    with serving(settings) as live:
        told = live.models.GetModel(models_pb.GetModelRequest(model=NAME)).model
        items = [pb.PredictItem(id="vh", sequence=sequence)]
        answer = live.esm2.Predict(pb.PredictRequest(model=NAME, items=items))
        encoded = live.esm2.Encode(
            pb.EncodeRequest(model=NAME, items=[pb.EncodeItem(id="vh", sequence=VH)])
        )
    assert told.weights.trained
    masks = answer.predictions[0].masks
    assert [one.position for one in masks] == places
    assert [one.candidates[0].residue for one in masks] == ["W", "W"]
    assert len(encoded.encodings) == 1
