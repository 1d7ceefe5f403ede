"""JSON in pieces is the same JSON."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from primase_gateway.json_stream import CHUNK_BYTES, json_chunks

scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text()
documents = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


@given(documents)
def test_plain_documents(document: object) -> None:
    assert json.loads(b"".join(json_chunks(document))) == document


@pytest.mark.parametrize(
    "shape", [(0,), (1,), (70_000,), (0, 4), (3, 0), (1, 1), (5, 33_000), (40_000, 3), (2, 3, 4)]
)
def test_arrays_of_any_shape(shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    read = json.loads(b"".join(json_chunks({"array": array})))["array"]
    assert np.array_equal(np.asarray(read, np.float32).reshape(shape), array)
    assert len(read) == shape[0]


def test_columns_out_of_a_larger_array() -> None:
    array = np.arange(24, dtype=np.float32).reshape(4, 6)
    assert json.loads(b"".join(json_chunks(array[:, [5, 0]]))) == array[:, [5, 0]].tolist()


def test_a_small_document_is_one_piece_and_a_large_one_is_even_pieces() -> None:
    assert list(json_chunks({"a": [1, {"b": "c"}]})) == [b'{"a":[1,{"b":"c"}]}']
    sizes = [len(piece) for piece in json_chunks(np.zeros((1000, 1280), np.float32))]
    assert len(sizes) > 10
    assert all(CHUNK_BYTES <= size < 2 * CHUNK_BYTES for size in sizes[:-1])
