"""Sources of weights, the shape that goes with a file, and where blocks are put."""

import shutil
from pathlib import Path

import pytest
import torch
import yaml

from primase_server.models import cpu_linear
from primase_server.models.card import WeightsSource
from primase_server.models.errors import CheckpointError
from primase_server.models.evo2.config import VARIANTS, Evo2Config
from primase_server.models.evo2.placement import place
from primase_server.models.evo2.weights import (
    FIXTURE,
    LocalWeights,
    block_bytes,
    load,
    open_checkpoint,
)
from primase_server.models.given_weights import FixtureWeights, RandomWeights
from tests.models.evo2 import running
from tests.models.evo2.observers import TakeAll
from tests.models.evo2.running import CPU_TOLERANCE, random_bases, relative_error
from tests.models.evo2.tiny import KEYS, make_state, save
from tests.models.live_bytes import LiveBytes


def test_the_fixture_is_loaded() -> None:
    loaded = load(FixtureWeights())
    assert loaded.weights.source is WeightsSource.FIXTURE
    assert not loaded.weights.trained
    assert loaded.weights.checksum.startswith("sha256:")
    assert loaded.model.config == VARIANTS["evo2_fixture"]


def test_random_weights_are_seeded() -> None:
    tokens = random_bases(1, 30)
    first, again, other = (
        running.full(load(RandomWeights("evo2_fixture", seed)).model, tokens) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert relative_error(first, other) > 0.1
    weights = load(RandomWeights("evo2_fixture", 7)).weights
    assert (weights.source, weights.revision) == (WeightsSource.RANDOM, "evo2_fixture-seed-7")


def test_random_weights_speak_like_a_model() -> None:
    logits = running.full(load(RandomWeights("evo2_fixture")).model, random_bases(1, 2000))
    assert logits.isfinite().all()
    assert 1 < logits[0, -100:].std() < 5


def test_the_shape_is_that_of_the_variant_named(tmp_path: Path) -> None:
    shutil.copy(FIXTURE, tmp_path / "weights.pt")
    with pytest.raises(CheckpointError, match="'weights' is not an Evo 2 variant"):
        open_checkpoint(LocalWeights(tmp_path / "weights.pt"))
    named = open_checkpoint(LocalWeights(tmp_path / "weights.pt", "evo2_fixture"))
    assert named.config == VARIANTS["evo2_fixture"]
    with pytest.raises(CheckpointError, match="lacks tensors"):
        open_checkpoint(LocalWeights(tmp_path / "weights.pt", "evo2_7b"))


def test_the_shape_may_lie_next_to_the_weights(tmp_path: Path) -> None:
    save(make_state(), tmp_path / "any.pt")
    (tmp_path / "config.yml").write_text(yaml.safe_dump(KEYS))
    assert open_checkpoint(LocalWeights(tmp_path)).config == Evo2Config.from_mapping(KEYS)


def test_a_folder_holds_one_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="exactly one"):
        open_checkpoint(LocalWeights(tmp_path))
    shutil.copy(FIXTURE, tmp_path)
    assert open_checkpoint(LocalWeights(tmp_path)).config == VARIANTS["evo2_fixture"]
    shutil.copy(FIXTURE, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match="exactly one"):
        open_checkpoint(LocalWeights(tmp_path))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no file .*evo2_7b\.pt"):
        open_checkpoint(LocalWeights(tmp_path / "evo2_7b.pt"))


@pytest.mark.parametrize(("kernel", "tolerance"), [("prepacked", CPU_TOLERANCE), ("int8", 3e-2)])
def test_products_are_exchangeable(kernel: str, tolerance: float) -> None:
    tokens = random_bases(70)
    shown = []
    for make in (cpu_linear.PLAIN.make, cpu_linear.KERNELS[kernel].make):
        model = load(FixtureWeights(), make=make).model
        shown.append(TakeAll(model.config))
        model.extend([tokens], [model.new_state()], shown[-1])
    # the first blocks: further on random weights turn any error into a large one
    for name in ("blocks.0", "blocks.1.projections"):
        assert relative_error(shown[1].taken[name], shown[0].taken[name]) < tolerance


def test_blocks_leave_devices_equally_empty() -> None:
    assert place([1] * 6, [10, 10]) == (0, 0, 0, 1, 1, 1)
    assert place([1] * 6, [4, 6]) == (0, 0, 1, 1, 1, 1)
    assert place([5, 1, 1, 1, 1, 1], [10, 10]) == (0, 1, 1, 1, 1, 1)
    assert place([1] * 4, [100, 2]) == (0, 0, 0, 0)
    assert place([3, 3, 3], [3, 2, 6]) == (0, 2, 2)


def test_blocks_that_do_not_fit_are_refused() -> None:
    with pytest.raises(CheckpointError, match=r"blocks take 7 bytes; .*\[3, 3\]"):
        place([3, 3, 1], [3, 3])
    with pytest.raises(CheckpointError, match="blocks take"):
        place([1], [])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_bytes_of_the_blocks_are_those_they_hold(dtype: torch.dtype) -> None:
    source = RandomWeights("evo2_fixture")
    with LiveBytes() as count:
        loaded = load(source, dtype=dtype)
        held_bytes = count.live
    config = loaded.model.config
    said = sum(block_bytes(config, dtype))
    # besides: orders of rows, and in 16 bits the few filters that stay in 32
    assert said < held_bytes < 1.15 * said
