"""fair-esm's two files, and what is refused."""

import pickle
import shutil
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from primase_server.models.errors import CheckpointError
from primase_server.models.esm2.fair_checkpoint import open_fair
from primase_server.models.esm2.weights import FIXTURE, open_checkpoint

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

Loaded = dict[str, Any]
FIXTURE_BYTES = FIXTURE.read_bytes()


@pytest.fixture
def main() -> Loaded:
    with torch.serialization.safe_globals([Namespace]):
        loaded: Loaded = torch.load(FIXTURE, weights_only=True)
    return loaded


def write(folder: Path, loaded: object) -> Path:
    path = folder / "esm2.pt"
    torch.save(loaded, path)
    return path


class Touch:
    """Unpickled by an unsafe loader, it would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


def test_contacts_come_from_the_file_next_to_it(tmp_path: Path) -> None:
    assert "contact_head.regression.weight" in open_fair(FIXTURE).tensors
    alone = Path(shutil.copy(FIXTURE, tmp_path / "esm2.pt"))
    assert "contact_head.regression.weight" not in open_fair(alone).tensors
    assert open_fair(alone).files == (alone,)


def test_the_shorter_prefix_is_stripped_too(main: Loaded, tmp_path: Path) -> None:
    main["model"] = {n.replace("sentence_encoder.", ""): t for n, t in main["model"].items()}
    assert "layers.5.fc2.bias" in open_fair(write(tmp_path, main)).tensors


def test_half_precision_is_read_as_it_is(main: Loaded, tmp_path: Path) -> None:
    main["model"] = {name: tensor.half() for name, tensor in main["model"].items()}
    found = open_fair(write(tmp_path, main))
    assert found.tensors["embed_tokens.weight"].dtype == torch.float16


def test_the_tied_copy_is_dropped() -> None:
    assert "lm_head.weight" not in open_fair(FIXTURE).tensors


def test_old_files_that_are_not_zip_archives_are_read(main: Loaded, tmp_path: Path) -> None:
    path = tmp_path / "esm2.pt"
    torch.save(main, path, _use_new_zipfile_serialization=False)
    assert open_fair(path).config == open_fair(FIXTURE).config


@pytest.mark.parametrize("legacy", [False, True])
def test_no_pickle_runs(legacy: bool, main: Loaded, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    path = tmp_path / "esm2.pt"
    main["cfg"]["hostile"] = Touch(trace)
    torch.save(main, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(CheckpointError):
        open_fair(path)
    path.write_bytes(pickle.dumps(Touch(trace)))
    with pytest.raises(CheckpointError):
        open_fair(path)
    assert not trace.exists()


def test_no_pickle_runs_from_the_regression_file(main: Loaded, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    path = write(tmp_path, main)
    torch.save({"model": Touch(trace)}, tmp_path / "esm2-contact-regression.pt")
    with pytest.raises(CheckpointError):
        open_fair(path)
    assert not trace.exists()


def test_no_pickle_runs_from_a_file_of_the_hub(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(pickle.dumps(Touch(trace)))
    with pytest.raises(CheckpointError, match="cannot be read: Weights only load failed"):
        open_checkpoint(path)
    assert not trace.exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"encoder_layers": 5},
        {"encoder_embed_dim": 64},
        {"encoder_attention_heads": 3},
        {"encoder_attention_heads": -4},
        {"encoder_attention_heads": None},
        {"encoder_attention_heads": True},
        {"token_dropout": 1},
    ],
)
def test_a_config_that_does_not_fit_is_refused(
    changes: Loaded, main: Loaded, tmp_path: Path
) -> None:
    vars(main["cfg"]["model"]).update(changes)
    with pytest.raises(CheckpointError):
        open_fair(write(tmp_path, main))


@pytest.mark.parametrize(
    "loaded",
    [
        [],
        {},
        {"model": {}},
        {"model": {"x": 1}},
        {"model": {3: torch.zeros(1)}},
        {"model": {"embed_tokens.weight": torch.zeros(33, 8)}, "cfg": {}},
        {"model": {"embed_tokens.weight": torch.zeros(33, 8)}, "cfg": {"model": Namespace()}},
    ],
)
def test_other_contents_are_refused(loaded: object, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError):
        open_fair(write(tmp_path, loaded))


def test_missing_and_unknown_tensors_are_named(main: Loaded, tmp_path: Path) -> None:
    bias = main["model"].pop("encoder.sentence_encoder.layers.0.fc1.bias")
    with pytest.raises(CheckpointError, match=r"lacks tensors: layers\.0\.fc1\.bias"):
        open_fair(write(tmp_path, main))
    main["model"]["encoder.sentence_encoder.layers.0.fc9.bias"] = bias
    main["model"]["encoder.sentence_encoder.layers.0.fc1.bias"] = bias
    with pytest.raises(CheckpointError, match=r"unknown tensors: layers\.0\.fc9\.bias"):
        open_fair(write(tmp_path, main))


def test_an_error_names_only_the_first_tensors(main: Loaded, tmp_path: Path) -> None:
    main["model"] = {n: t for n, t in main["model"].items() if "self_attn" not in n}
    with pytest.raises(CheckpointError, match="and 52 more") as caught:
        open_fair(write(tmp_path, main))
    assert len(str(caught.value)) < 1000


def test_sparse_tensors_are_refused(main: Loaded, tmp_path: Path) -> None:
    main["model"]["encoder.lm_head.bias"] = torch.zeros(33).to_sparse()
    with pytest.raises(CheckpointError):
        open_fair(write(tmp_path, main))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no file"):
        open_checkpoint(tmp_path / "esm2.pt")


def test_a_directory_with_one_fair_checkpoint_is_read(tmp_path: Path) -> None:
    for path in FIXTURE.parent.iterdir():
        shutil.copy(path, tmp_path)
    assert open_checkpoint(tmp_path).config == open_fair(FIXTURE).config
    shutil.copy(FIXTURE, tmp_path / "second.pt")
    with pytest.raises(CheckpointError, match="exactly one"):
        open_checkpoint(tmp_path)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(size=st.integers(0, len(FIXTURE_BYTES) - 1))
def test_a_truncated_file_is_refused(size: int, tmp_path: Path) -> None:
    path = tmp_path / "esm2.pt"
    path.write_bytes(FIXTURE_BYTES[:size])
    with pytest.raises(CheckpointError):
        open_fair(path)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    offset=st.integers(0, 20_000)
    | st.integers(len(FIXTURE_BYTES) - 20_000, len(FIXTURE_BYTES) - 1),
    junk=st.binary(min_size=1, max_size=16),
)
def test_damage_is_refused_or_harmless(offset: int, junk: bytes, tmp_path: Path) -> None:
    path = tmp_path / "esm2.pt"
    path.write_bytes(FIXTURE_BYTES[:offset] + junk + FIXTURE_BYTES[offset + len(junk) :])
    try:
        found = open_fair(path)
    except CheckpointError:
        return
    assert all(tensor.sum().ndim == 0 for tensor in found.tensors.values())
