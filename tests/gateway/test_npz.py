"""The file that is laid out before its numbers are there, as numpy and zip read it."""

import io
import zipfile
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from primase.tensors import row_slices
from primase_gateway.errors import Refusal
from primase_gateway.npz import Layout, Npz
from tests.gateway.nim import load

Array = NDArray[np.float32]

numbers = st.floats(width=32, allow_nan=False, allow_infinity=False)
matrices = st.tuples(st.integers(1, 9), st.integers(1, 40)).flatmap(
    lambda shape: arrays.arrays(np.float32, shape, elements=numbers)
)
names = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="/\\"))


def packed(given: Mapping[str, Array], max_bytes: int = 64) -> bytes:
    npz = Npz(Layout.of({name: array.shape for name, array in given.items()}))
    for name, array in given.items():
        for piece in row_slices(array, max_bytes=max_bytes):
            npz.add(name, piece)
    return bytes(npz.finish())


@given(st.dictionaries(names, matrices, max_size=4))
def test_what_goes_in_comes_out(given: dict[str, Array]) -> None:
    file = packed(given)
    found = load(file)
    assert list(found) == list(given)
    for name, array in given.items():
        assert found[name].dtype == np.dtype("<f4")
        np.testing.assert_array_equal(found[name], array, strict=True)
    with zipfile.ZipFile(io.BytesIO(file)) as opened:
        assert opened.testzip() is None
        assert all(entry.compress_type == zipfile.ZIP_STORED for entry in opened.infolist())


def test_axes_are_those_of_the_layout() -> None:
    rows = np.arange(12, dtype=np.float32).reshape(3, 4)
    npz = Npz(Layout.of({"a": (3, 1, 4), "b": (1, 3, 2, 2)}))
    first, second, third = row_slices(rows, max_bytes=16)
    npz.add("a", first)
    npz.add("b", first)
    npz.add("b", second)
    assert npz.num_rows == 1
    npz.add("b", third)
    npz.add("a", second)
    npz.add("a", third)
    found = load(bytes(npz.finish()))
    assert (found["a"][:, 0] == rows).all()
    assert (found["b"][0].reshape(3, 4) == rows).all()


def test_equal_numbers_make_equal_files() -> None:
    rows = np.ones((2, 3), np.float32)
    assert packed({"x": rows}) == packed({"x": rows}, max_bytes=4)


def test_the_size_is_known_before() -> None:
    rows = {"x": np.ones((5, 3), np.float32), "yy": np.ones((5, 1), np.float32)}
    layout = Layout.of({name: array.shape for name, array in rows.items()})
    assert layout.num_bytes == len(packed(rows))


def test_rows_that_do_not_fit() -> None:
    rows = np.ones((4, 3), np.float32)
    first, second, *_ = row_slices(rows, max_bytes=12)
    npz = Npz(Layout.of({"x": (4, 1, 3)}))
    with pytest.raises(ValueError, match="starts at row 1, not 0"):
        npz.add("x", second)
    npz.add("x", first)
    with pytest.raises(ValueError, match="not complete"):
        npz.finish()
    with pytest.raises(ValueError, match="x is of shape"):
        npz.add("x", next(row_slices(np.ones((4, 2), np.float32))))
    with pytest.raises(KeyError):
        npz.add("y", first)
    with pytest.raises(Refusal) as refused:
        npz.add("x", next(row_slices(np.full((4, 3), np.inf, np.float32))))
    assert refused.value.reason.name == "INTERNAL"
