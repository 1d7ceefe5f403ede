"""Official files are read, whole or in parts, and others are refused by name."""

import io
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from primase_server.models.checksum import checksum
from primase_server.models.errors import CheckpointError
from primase_server.models.evo2.checkpoint import Checkpoint, open_official
from primase_server.models.evo2.config import VARIANTS, Evo2Config
from primase_server.models.evo2.weights import FIXTURE, LocalWeights, load, open_checkpoint
from tests.models.evo2 import running
from tests.models.evo2.running import random_bases
from tests.models.evo2.tiny import KEYS, make_state, save

CONFIG = VARIANTS["evo2_fixture"]
FIXTURE_BYTES = FIXTURE.read_bytes()


def entries() -> dict[str, Any]:
    with torch.serialization.safe_globals([io.BytesIO]):
        found: dict[str, Any] = torch.load(FIXTURE, weights_only=True)
    return found


def reopened(changed: dict[str, Any], folder: Path) -> Checkpoint:
    path = folder / "evo2.pt"
    torch.save(changed, path)
    return open_official(path, CONFIG)


def test_leftovers_are_skipped_and_scales_are_kept(tmp_path: Path) -> None:
    path = save(make_state(), tmp_path / "tiny.pt")
    checkpoint = open_official(path, Evo2Config.from_mapping(KEYS))
    assert set(checkpoint.tensors) == set(make_state())
    assert set(checkpoint.extra_states) == {
        f"blocks.{layer}.projections" for layer in range(11) if layer not in (3, 10)
    }
    assert checkpoint.extra_states["blocks.0.projections"].getvalue() == b"scales"
    assert checkpoint.files == (path,)


def test_what_a_model_reads_is_rounded_as_upstream_rounds(tmp_path: Path) -> None:
    wide = entries()
    wide["norm.scale"] = torch.full((64,), 1 + 2**-12)
    wide["blocks.3.inner_mha_cls.rotary_emb.inv_freq"] = torch.full((8,), 1 + 2**-12)
    tensors = reopened(wide, tmp_path).tensors
    assert tensors["norm.scale"].dtype == torch.bfloat16
    assert tensors["norm.scale"][0] == 1
    assert tensors["blocks.3.inner_mha_cls.rotary_emb.inv_freq"][0] == 1 + 2**-12
    assert tensors["blocks.2.filter.log_poles"].dtype == torch.float32


@pytest.mark.parametrize(
    "name", ["norm.scale", "blocks.3.inner_mha_cls.rotary_emb.inv_freq", "blocks.2.filter.D"]
)
def test_a_missing_tensor_is_named(name: str, tmp_path: Path) -> None:
    lacking = entries()
    del lacking[name]
    with pytest.raises(CheckpointError, match=f"lacks tensors: {name}"):
        reopened(lacking, tmp_path)


def test_something_else_under_a_tensor_s_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"lacks tensors: norm\.scale"):
        reopened(entries() | {"norm.scale": io.BytesIO(b"1")}, tmp_path)


def test_a_tensor_of_another_shape_is_named_with_both_shapes(tmp_path: Path) -> None:
    changed = entries() | {"blocks.1.filter.h": torch.zeros(8, 128)}
    with pytest.raises(
        CheckpointError, match=r"blocks\.1\.filter\.h \[8, 128\], not \[8, 1, 128\]"
    ):
        reopened(changed, tmp_path)


def test_integers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"non-float tensors: norm\.scale"):
        reopened(entries() | {"norm.scale": torch.ones(64, dtype=torch.int8)}, tmp_path)


def test_sparse_tensors_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError):
        reopened(entries() | {"norm.scale": torch.ones(64).to_sparse()}, tmp_path)


def test_the_file_of_a_larger_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="has a block 25; this model ends at 24"):
        reopened(entries() | {"blocks.25.norm": torch.ones(1)}, tmp_path)


def test_a_list_of_tensors_is_refused(tmp_path: Path) -> None:
    torch.save([torch.ones(1)], tmp_path / "evo2.pt")
    with pytest.raises(CheckpointError, match="not a dict"):
        open_official(tmp_path / "evo2.pt", CONFIG)


class Hostile:
    """Would make a folder when unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def test_a_file_with_code_is_refused_and_not_run(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be read"):
        reopened(entries() | {"hook": Hostile(tmp_path / "made")}, tmp_path)
    assert not (tmp_path / "made").exists()


def test_nothing_is_read_before_it_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / FIXTURE.name
    path.write_bytes(FIXTURE_BYTES)
    checkpoint = open_official(path, CONFIG)
    with torch.inference_mode():
        before = checkpoint.tensors["norm.scale"].clone()
    with path.open("r+b") as file:  # what is mapped shows what is written to the file
        offset = FIXTURE_BYTES.index(before.view(torch.uint8).numpy().tobytes())
        file.seek(offset)
        file.write(bytes(2 * 64))
    assert torch.equal(checkpoint.tensors["norm.scale"], torch.zeros(64, dtype=torch.bfloat16))


def test_parts_are_joined_once(tmp_path: Path) -> None:
    whole = tmp_path / "evo2_fixture.pt"
    for number, start in enumerate(range(0, len(FIXTURE_BYTES), 700_000)):
        part = tmp_path / f"{whole.name}.part{number}"
        part.write_bytes(FIXTURE_BYTES[start : start + 700_000])
    parts = sorted(tmp_path.iterdir())
    assert len(parts) == 3
    for path in (tmp_path, whole, parts[0], parts[1]):
        whole.unlink(missing_ok=True)
        checkpoint = open_checkpoint(LocalWeights(path))
        assert checkpoint.files == tuple(parts)
        assert whole.read_bytes() == FIXTURE_BYTES
        assert sorted(tmp_path.iterdir()) == [whole, *parts]
    written = whole.stat().st_mtime_ns
    assert open_checkpoint(LocalWeights(tmp_path)).files == tuple(parts)
    assert whole.stat().st_mtime_ns == written


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    (tmp_path / "evo2_fixture.pt.part1").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"evo2_fixture\.pt\.part0 is missing"):
        open_checkpoint(LocalWeights(tmp_path))


def test_a_join_that_was_cut_short_is_done_again(tmp_path: Path) -> None:
    for number, half in enumerate((FIXTURE_BYTES[:900_000], FIXTURE_BYTES[900_000:])):
        (tmp_path / f"evo2_fixture.pt.part{number}").write_bytes(half)
    (tmp_path / "evo2_fixture.pt").write_bytes(FIXTURE_BYTES[:1000])
    model = load(LocalWeights(tmp_path)).model
    assert (tmp_path / "evo2_fixture.pt").read_bytes() == FIXTURE_BYTES
    assert running.full(model, random_bases(1, 5)).shape == (1, 5, 512)


def test_parts_that_do_not_fit_on_the_disk_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "evo2_fixture.pt.part0").write_bytes(FIXTURE_BYTES)
    monkeypatch.setattr("shutil.disk_usage", lambda _: Full())
    with pytest.raises(CheckpointError, match="bytes of disk, and 7 are free"):
        open_checkpoint(LocalWeights(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["evo2_fixture.pt.part0"]


class Full:
    """A disk."""

    free = 7


def test_the_checksum_is_over_the_bytes() -> None:
    assert load(LocalWeights(FIXTURE)).weights.checksum == checksum([FIXTURE])


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(size=st.integers(0, len(FIXTURE_BYTES) - 1))
def test_a_truncated_file_is_refused(size: int, tmp_path: Path) -> None:
    path = tmp_path / "evo2.pt"
    path.write_bytes(FIXTURE_BYTES[:size])
    with pytest.raises(CheckpointError):
        open_official(path, CONFIG)
