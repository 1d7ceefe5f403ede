"""FP8 scales are found in a pickle that is never run."""

import os
import pickle
import sys
import zipfile
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from primase_server.models.errors import CheckpointError
from primase_server.models.evo2.extra_state import Fp8Scales, read_scales
from tests.models.evo2.extra_states import extra_state


class Recipe:
    """Stands for `transformer_engine.common.recipe.DelayedScaling`, which nobody has here."""

    def __init__(self) -> None:
        self.margin = 0
        self.fp8_format = (1, 2)


class Hostile:
    """Would make a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, (str(self.path),))


def saved(value: object, *, pickle_protocol: int = 2) -> BytesIO:
    written = BytesIO()
    torch.save(value, written, pickle_protocol=pickle_protocol)
    return written


@pytest.mark.parametrize("scales", [(16.0, 256.0), (0.37841796875, 3.1e4), (1e-30, 1e30)])
def test_scales_are_read(scales: tuple[float, float]) -> None:
    expected = Fp8Scales(*torch.tensor(scales).tolist())
    assert read_scales(extra_state(*scales)) == expected


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_protocol_is_read(protocol: int) -> None:
    state = {"first": [1, 2], "scale_fwd": torch.tensor([2.0, 4.0, 1.0])}
    assert read_scales(saved(state, pickle_protocol=protocol)) == Fp8Scales(2.0, 4.0)


def test_a_class_that_nobody_has_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    state = extra_state(2.0, 4.0, recipe=Recipe(), then=Recipe)
    monkeypatch.delattr(sys.modules[__name__], "Recipe")
    assert read_scales(state) == Fp8Scales(2.0, 4.0)


def test_a_slice_is_read_from_its_place() -> None:
    whole = torch.arange(10, dtype=torch.float32)
    assert read_scales(saved({"scale_fwd": whole[4:7]})) == Fp8Scales(4.0, 5.0)


def test_where_reading_begins_does_not_matter() -> None:
    state = extra_state(2.0, 4.0)
    state.read()
    assert read_scales(state) == read_scales(state) == Fp8Scales(2.0, 4.0)


def test_a_hostile_pickle_is_not_run(tmp_path: Path) -> None:
    hostile = Hostile(tmp_path / "made")
    assert read_scales(extra_state(2.0, 4.0, recipe=hostile)) == Fp8Scales(2.0, 4.0)
    with pytest.raises(CheckpointError, match="scale_fwd is not a vector of float32"):
        read_scales(saved({"scale_fwd": hostile}))
    with pytest.raises(CheckpointError, match="no scale_fwd"):
        read_scales(saved(hostile))
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_scales(BytesIO(pickle.dumps(hostile)))
    assert not hostile.path.exists()
    pickle.loads(pickle.dumps(hostile))
    assert hostile.path.exists(), "the pickle is as hostile as this test thinks"


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (None, "no scale_fwd"),
        ({}, "no scale_fwd"),
        ({"scale_bwd": torch.ones(3)}, "no scale_fwd"),
        ({"scale_fwd": [1.0, 2.0]}, "not a vector of float32"),
        ({"scale_fwd": torch.ones(3, dtype=torch.float64)}, "not a vector of float32"),
        ({"scale_fwd": torch.ones(3, 1)}, "not a vector of float32"),
        ({"scale_fwd": torch.arange(9.0)[::3]}, "not a vector of float32"),
        ({"scale_fwd": torch.ones(1)}, "1 numbers of scale_fwd, not 2"),
        ({"scale_fwd": torch.tensor([1.0, 0.0, 1.0])}, "not positive numbers"),
        ({"scale_fwd": torch.tensor([-1.0, 1.0, 1.0])}, "not positive numbers"),
        ({"scale_fwd": torch.tensor([torch.inf, 1.0, 1.0])}, "not positive numbers"),
        ({"scale_fwd": torch.tensor([1.0, torch.nan, 1.0])}, "not positive numbers"),
    ],
)
def test_what_has_no_scales_says_so(value: object, what: str) -> None:
    with pytest.raises(CheckpointError, match=what):
        read_scales(saved(value))


def test_an_instruction_of_another_kind_is_refused() -> None:
    with pytest.raises(CheckpointError, match="the pickle instruction EMPTY_SET"):
        read_scales(saved({"scale_fwd": set()}, pickle_protocol=4))


def test_a_packed_archive_is_refused() -> None:
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * 10_000_000)
    with pytest.raises(CheckpointError, match="packed, or larger than any we know"):
        read_scales(packed)


GOOD = extra_state(2.0, 4.0).getvalue()


@pytest.mark.parametrize("length", [0, 1, 4, 100, len(GOOD) // 2, len(GOOD) - 1])
def test_a_cut_file_is_an_error(length: int) -> None:
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_scales(BytesIO(GOOD[:length]))


def read_or_refuse(content: bytes) -> None:
    with suppress(CheckpointError):
        assert read_scales(BytesIO(content)).input > 0


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    read_or_refuse(content)


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), min_size=1, max_size=20)
)
def test_a_damaged_file_is_read_or_refused(changes: list[tuple[int, int]]) -> None:
    damaged = bytearray(GOOD)
    for place, value in changes:
        damaged[place] = value
    read_or_refuse(bytes(damaged))


def pickle_of(content: bytes) -> bytes:
    with zipfile.ZipFile(BytesIO(content)) as archive:
        return archive.read("archive/data.pkl")


PICKLE = pickle_of(GOOD)


@settings(max_examples=300)
@given(
    st.lists(
        st.tuples(st.integers(0, len(PICKLE) - 1), st.binary(max_size=4), st.integers(0, 4)),
        min_size=1,
        max_size=6,
    )
)
def test_a_damaged_pickle_is_read_or_refused(changes: list[tuple[int, bytes, int]]) -> None:
    """With the zip's checksums right, so that the damage is seen by what reads the pickle."""
    damaged = PICKLE
    for place, inserted, num_dropped in changes:
        damaged = damaged[:place] + inserted + damaged[place + num_dropped :]
    content = BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("archive/data.pkl", damaged)
        archive.writestr("archive/data/0", b"\0" * 64)
    read_or_refuse(content.getvalue())
