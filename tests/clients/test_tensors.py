from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from primase.tensors import SliceAssembler, row_slices, rows_of, to_array, to_tensor
from primase.type.v1.tensor_pb2 import (
    DATA_TYPE_BFLOAT16,
    DATA_TYPE_FLOAT16,
    DATA_TYPE_FLOAT32,
    DATA_TYPE_INT32,
    DATA_TYPE_UNSPECIFIED,
    DataType,
    Tensor,
    TensorSlice,
)

SHAPES = arrays.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5)
FLOAT_TYPES = (DATA_TYPE_FLOAT32, DATA_TYPE_FLOAT16, DATA_TYPE_BFLOAT16)
TORCH_TYPES = {DATA_TYPE_FLOAT16: torch.float16, DATA_TYPE_BFLOAT16: torch.bfloat16}

any_float32 = arrays.arrays(np.float32, SHAPES)
any_int32 = arrays.arrays(np.int32, SHAPES)


@given(any_float32)
def test_float32_returns_bit_for_bit(array: NDArray[np.float32]) -> None:
    back = to_array(to_tensor(array))

    assert back.dtype == np.float32
    np.testing.assert_array_equal(back.view(np.uint32), array.view(np.uint32))


@given(any_int32)
def test_int32_returns_exactly(array: NDArray[np.int32]) -> None:
    back = to_array(to_tensor(array, DATA_TYPE_INT32))

    assert back.dtype == np.int32
    np.testing.assert_array_equal(back, array)


@pytest.mark.parametrize("data_type", [DATA_TYPE_FLOAT16, DATA_TYPE_BFLOAT16])
@given(array=any_float32)
def test_halves_are_rounded_as_torch_rounds_them(
    data_type: DataType.ValueType, array: NDArray[np.float32]
) -> None:
    expected = torch.from_numpy(array.copy()).to(TORCH_TYPES[data_type]).float().numpy()

    np.testing.assert_array_equal(to_array(to_tensor(array, data_type)), expected)


@pytest.mark.parametrize("data_type", [DATA_TYPE_FLOAT16, DATA_TYPE_BFLOAT16])
def test_every_half_is_widened_exactly(data_type: DataType.ValueType) -> None:
    every = np.arange(1 << 16, dtype="<u2")
    expected = torch.from_numpy(every.copy()).view(TORCH_TYPES[data_type]).float().numpy()

    back = to_array(Tensor(data_type=data_type, shape=[1 << 16], data=every.tobytes()))

    np.testing.assert_array_equal(back, expected)


def test_bfloat16_ties_go_to_even_and_nan_stays_nan() -> None:
    bits = np.array([0x3F808000, 0x3F818000, 0x3F808001, 0x7F800001, 0xFFFFFFFF], dtype=np.uint32)
    back = to_array(to_tensor(bits.view(np.float32), DATA_TYPE_BFLOAT16)).view(np.uint32)

    assert [hex(value) for value in back[:3]] == ["0x3f800000", "0x3f820000", "0x3f810000"]
    assert np.isnan(back[3:].view(np.float32)).all()


def test_float16_out_of_range_is_infinite() -> None:
    back = to_array(to_tensor(np.array([1e6, -1e6], np.float32), DATA_TYPE_FLOAT16))

    assert back.tolist() == [np.inf, -np.inf]


def test_unspecified_is_float32_and_bytes_are_little_endian_row_major() -> None:
    columns_first = np.asfortranarray([[1.0, 2.0], [3.0, 4.0]]).astype(">f4")
    tensor = to_tensor(columns_first, DATA_TYPE_UNSPECIFIED)

    assert tensor == Tensor(
        data_type=DATA_TYPE_FLOAT32,
        shape=[2, 2],
        data=bytes.fromhex("0000803f 00000040 00004040 00008040"),
    )
    assert to_array(Tensor(shape=[1], data=tensor.data[:4])).tolist() == [1.0]


def test_a_number_without_axes_is_an_array_too() -> None:
    assert to_array(to_tensor(2.5, DATA_TYPE_BFLOAT16)).shape == ()
    assert to_array(to_tensor(2.5, DATA_TYPE_BFLOAT16)) == 2.5


def test_arrays_are_the_callers_to_write() -> None:
    back = to_array(to_tensor(np.zeros(2)))
    back[0] = 1.0
    assert back.tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    "tensor",
    [
        Tensor(data_type=DATA_TYPE_FLOAT32, shape=[2], data=bytes(4)),
        Tensor(data_type=DATA_TYPE_FLOAT16, shape=[2], data=bytes(6)),
        Tensor(data_type=DATA_TYPE_FLOAT32, shape=[-1, -1], data=bytes(4)),
        Tensor(data_type=9, shape=[1], data=bytes(4)),  # type: ignore[arg-type]
    ],
)
def test_bytes_that_disagree_with_the_shape_are_refused(tensor: Tensor) -> None:
    with pytest.raises(ValueError, match=r"."):
        to_array(tensor)


@pytest.mark.parametrize("array", [np.zeros(2, np.int64), np.zeros(2, np.float32)])
def test_int32_takes_nothing_that_may_not_fit(array: NDArray[Any]) -> None:
    with pytest.raises(ValueError, match="does not fit INT32"):
        to_tensor(array, DATA_TYPE_INT32)


@given(any_float32, st.sampled_from(FLOAT_TYPES), st.integers(1, 64))
def test_slices_give_the_same_array_as_one_tensor(
    array: NDArray[np.float32], data_type: DataType.ValueType, max_bytes: int
) -> None:
    assembler = SliceAssembler()
    for piece in row_slices(array, data_type, max_bytes):
        assembler.add(piece)

    assert assembler.complete
    assert assembler.tensor() == to_tensor(array, data_type)
    np.testing.assert_array_equal(assembler.array(), to_array(to_tensor(array, data_type)))


@given(any_float32, st.integers(1, 64))
def test_slices_hold_whole_rows_within_the_limit(
    array: NDArray[np.float32], max_bytes: int
) -> None:
    row_bytes = array[:1].nbytes
    pieces = list(row_slices(array, DATA_TYPE_FLOAT32, max_bytes))

    assert pieces
    for piece in pieces:
        assert len(piece.data) <= max(max_bytes, row_bytes)
        assert len(piece.data) % max(1, row_bytes) == 0


def test_no_rows_and_no_width_take_one_slice() -> None:
    for shape in ([0, 3], [3, 0], [0]):
        (piece,) = row_slices(np.zeros(shape, np.float32))
        assembler = SliceAssembler()
        assembler.add(piece)
        assert assembler.complete
        assert list(assembler.array().shape) == shape


def test_a_vector_is_rows_of_one_number() -> None:
    pieces = list(row_slices(np.arange(5, dtype=np.float32), DATA_TYPE_FLOAT32, 8))

    assert [piece.row_offset for piece in pieces] == [0, 2, 4]


def test_an_array_without_axes_has_no_slices() -> None:
    with pytest.raises(ValueError, match="without axes"):
        list(row_slices(np.float32(1.0)))


def rows(
    offset: int, num_rows: int, data_type: DataType.ValueType = DATA_TYPE_FLOAT32, total: int = 4
) -> TensorSlice:
    """Some rows of an array [total, 2]."""
    data = to_tensor(np.zeros([num_rows, 2]), data_type).data
    return TensorSlice(data_type=data_type, shape=[total, 2], row_offset=offset, data=data)


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        ([rows(1, 3)], "starts at row 1, not 0"),
        ([rows(0, 2), rows(3, 1)], "starts at row 3, not 2"),
        ([rows(0, 2), rows(0, 2)], "starts at row 0, not 2"),
        ([rows(0, 2), rows(2, 2, DATA_TYPE_FLOAT16)], "differ in type or shape"),
        ([rows(0, 2), rows(2, 2, total=5)], "differ in type or shape"),
        ([rows(0, 4), rows(4, 1)], "after the last row"),
        ([rows(0, 2), rows(2, 3)], "past the last row"),
        ([rows(0, 2), rows(2, 0)], "not whole rows"),
        ([TensorSlice(shape=[2, 2], data=bytes(7))], "not whole rows"),
        ([TensorSlice(shape=[2, 0], data=bytes(8))], "not whole rows"),
        ([TensorSlice(shape=[], data=bytes(4))], "without axes"),
        ([TensorSlice(shape=[-2], data=bytes(4))], "negative"),
    ],
)
def test_slices_that_do_not_continue_are_refused(pieces: list[TensorSlice], message: str) -> None:
    assembler = SliceAssembler()
    for piece in pieces[:-1]:
        assembler.add(piece)
    with pytest.raises(ValueError, match=message):
        assembler.add(pieces[-1])


def test_an_array_with_missing_rows_is_refused() -> None:
    assembler = SliceAssembler()
    with pytest.raises(ValueError, match="not complete"):
        assembler.array()
    assembler.add(rows(0, 2))
    assert not assembler.complete
    with pytest.raises(ValueError, match="not complete: 2 rows"):
        assembler.array()


@given(any_float32, st.sampled_from(FLOAT_TYPES), st.integers(1, 64))
def test_rows_of_slices_are_rows_of_the_array(
    array: NDArray[np.float32], data_type: DataType.ValueType, max_bytes: int
) -> None:
    whole = to_array(to_tensor(array, data_type))
    for piece in row_slices(array, data_type, max_bytes):
        if array.size:
            rows = rows_of(piece)
            start = piece.row_offset
            np.testing.assert_array_equal(rows, whole[start : start + len(rows)])


def test_rows_that_are_not_whole_are_refused() -> None:
    with pytest.raises(ValueError, match="not whole rows of 8"):
        rows_of(TensorSlice(shape=[4, 2], data=bytes(12)))
