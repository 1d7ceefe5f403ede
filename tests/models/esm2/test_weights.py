"""Sources of weights, and what is said of them."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from primase_server.models.card import WeightsSource
from primase_server.models.checksum import checksum
from primase_server.models.errors import CheckpointError
from primase_server.models.esm2.checkpoint import expected_shapes
from primase_server.models.esm2.config import SLUGS, VARIANTS
from primase_server.models.esm2.model import Esm2
from primase_server.models.esm2.passes import Esm2Pass
from primase_server.models.esm2.random_state import RandomState
from primase_server.models.esm2.weights import FIXTURE, LocalWeights, load
from primase_server.models.given_weights import FixtureWeights, RandomWeights
from tests.models.esm2.everything import make_runner, run_everything
from tests.models.esm2.reference import Array
from tests.models.esm2.sequences import mixed_batch


def test_the_fixture_says_what_it_is() -> None:
    loaded = load(FixtureWeights())
    assert loaded.weights.source is WeightsSource.FIXTURE
    assert loaded.weights.trained is False
    assert loaded.model.config == VARIANTS["fixture"]


def test_the_checksum_is_over_the_files_in_order_of_name() -> None:
    regression = FIXTURE.with_name("esm2_fixture-contact-regression.pt")
    expected = hashlib.sha256(regression.read_bytes() + FIXTURE.read_bytes()).hexdigest()
    assert load(FixtureWeights()).weights.checksum == f"sha256:{expected}"
    assert checksum([FIXTURE]) == f"sha256:{hashlib.sha256(FIXTURE.read_bytes()).hexdigest()}"


def test_local_weights_count_as_trained(tmp_path: Path) -> None:
    path = Path(shutil.copy(FIXTURE, tmp_path))
    weights = load(LocalWeights(path)).weights
    assert weights.source is WeightsSource.FILE
    assert weights.trained is True


def test_random_weights_are_named_and_repeatable() -> None:
    first, again, other = (load(RandomWeights("fixture", seed)) for seed in (1, 1, 2))
    assert first.weights.source is WeightsSource.RANDOM
    assert first.weights.revision == "fixture-seed-1"
    assert first.weights.checksum == ""
    assert first.weights.trained is False
    assert torch.equal(first.model.embedding, again.model.embedding)
    assert not torch.equal(first.model.embedding, other.model.embedding)


@pytest.mark.parametrize("variant", ["fixture", "esm2_t6_8M_UR50D", "esm2_t12_35M_UR50D"])
def test_random_models_behave_like_trained_ones(variant: str) -> None:
    model = load(RandomWeights(variant, seed=5)).model
    for item in run_everything(model, mixed_batch()[:4]):
        assert 0.5 < item.logits.std() < 10
        assert 0.3 < item.per_token[-1].std() < 3
        assert np.abs(item.per_token).max() < 100
        assert 0.02 < item.contacts.mean() < 0.9
        flat = 1 / item.contacts.shape[0]
        assert 2 * flat < item.attention_maps.max(axis=2).mean() < 0.9


def test_random_tensors_are_those_of_a_checkpoint() -> None:
    config = VARIANTS["fixture"]
    shapes = expected_shapes(config)
    del shapes["lm_head.weight"]
    state = RandomState(config, seed=0)
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == shapes


def test_unknown_variants_are_refused() -> None:
    with pytest.raises(CheckpointError, match="not an ESM-2 variant"):
        load(RandomWeights("esm2_t7_9M"))


def test_every_slug_names_a_variant() -> None:
    assert set(SLUGS.values()) == set(VARIANTS)


def test_no_weight_keeps_the_file_mapped(tmp_path: Path) -> None:
    path = Path(shutil.copy(FIXTURE, tmp_path))
    model = load(LocalWeights(path)).model
    before = last_mean(model)
    path.write_bytes(b"\0" * path.stat().st_size)
    np.testing.assert_array_equal(last_mean(model), before)


def last_mean(model: Esm2) -> Array:
    [output] = make_runner(model).run([Esm2Pass(mixed_batch()[0], repr_layers=(6,), mean=True)])
    assert output.mean is not None
    return output.mean
