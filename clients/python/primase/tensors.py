"""Arrays as messages: numpy to and from `Tensor` and `TensorSlice`, row-major and little-endian.

FLOAT16 and BFLOAT16 are rounded to nearest even on the way out and widened exactly to float32 on
the way in. A row is everything under one index of the first axis.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from primase.type.v1 import tensor_pb2
from primase.type.v1.tensor_pb2 import DataType, Tensor, TensorSlice

DEFAULT_SLICE_BYTES = 524_288

_WIRE_DTYPES: dict[int, np.dtype[Any]] = {
    tensor_pb2.DATA_TYPE_FLOAT32: np.dtype("<f4"),
    tensor_pb2.DATA_TYPE_FLOAT16: np.dtype("<f2"),
    tensor_pb2.DATA_TYPE_BFLOAT16: np.dtype("<u2"),
    tensor_pb2.DATA_TYPE_INT32: np.dtype("<i4"),
}


def to_tensor(
    array: ArrayLike, data_type: DataType.ValueType = tensor_pb2.DATA_TYPE_FLOAT32
) -> Tensor:
    """`array` as one message; UNSPECIFIED is FLOAT32.

    Raises ValueError for INT32 where the array's own type does not fit 32-bit integers.
    """
    data_type = _resolve(data_type)
    array = np.asarray(array)
    data = _to_wire(array, data_type).tobytes()
    return Tensor(data_type=data_type, shape=array.shape, data=data)


def to_array(tensor: Tensor) -> NDArray[Any]:
    """The numbers of `tensor`: int32 for INT32, else float32. The array is the caller's own.

    Raises ValueError where bytes and shape disagree.
    """
    data_type = _resolve(tensor.data_type)
    num_bytes = _num_bytes(tensor.shape, data_type)
    if len(tensor.data) != num_bytes:
        raise ValueError(
            f"tensor of shape {list(tensor.shape)} holds {len(tensor.data)} bytes, not {num_bytes}"
        )
    return _from_wire(bytearray(tensor.data), tensor.shape, data_type)


def row_slices(
    array: ArrayLike,
    data_type: DataType.ValueType = tensor_pb2.DATA_TYPE_FLOAT32,
    max_bytes: int = DEFAULT_SLICE_BYTES,
    first_row: int = 0,
    num_rows: int | None = None,
) -> Iterator[TensorSlice]:
    """`array` as slices of whole rows, each of at most `max_bytes` of data or one row.

    At least one slice, also for no rows. An array [width] is `width` rows of one number. With
    `num_rows` it is a part of an array of so many, and its own first row is their `first_row`.
    """
    data_type = _resolve(data_type)
    array = np.asarray(array)
    if array.ndim == 0:
        raise ValueError("an array without axes has no rows")
    row_bytes = _num_bytes(array.shape[1:], data_type)
    rows_per_slice = max(1, max_bytes // row_bytes if row_bytes else len(array))
    shape = (len(array) if num_rows is None else num_rows, *array.shape[1:])
    for row_offset in range(0, max(1, len(array)), rows_per_slice):
        rows = array[row_offset : row_offset + rows_per_slice]
        yield TensorSlice(
            data_type=data_type,
            shape=shape,
            row_offset=first_row + row_offset,
            data=_to_wire(rows, data_type).tobytes(),
        )


class SliceOrder:
    """Whether slices are all of one array, in order and without gaps. Holds none of them."""

    def __init__(self) -> None:
        self.shape: tuple[int, ...] = ()
        self._data_type: DataType.ValueType | None = None
        self._num_rows = 0

    @property
    def started(self) -> bool:
        """Some slice was here."""
        return self._data_type is not None

    @property
    def complete(self) -> bool:
        """Every row was here."""
        return self.started and self._num_rows == self.shape[0]

    def take(self, piece: TensorSlice) -> int:
        """Where the bytes of the next slice start in those of the whole array.

        Raises ValueError where the slice does not continue the ones before.
        """
        data_type = _resolve(piece.data_type)
        if self._data_type is None:
            if not piece.shape:
                raise ValueError("an array without axes has no rows")
            _num_bytes(piece.shape, data_type)
            self.shape, self._data_type = tuple(piece.shape), data_type
        elif self.complete:
            raise ValueError("slice after the last row")
        elif data_type != self._data_type or tuple(piece.shape) != self.shape:
            raise ValueError("slices of one array differ in type or shape")
        if piece.row_offset != self._num_rows:
            raise ValueError(f"slice starts at row {piece.row_offset}, not {self._num_rows}")
        return self._advance(len(piece.data), _num_bytes(self.shape[1:], data_type))

    def whole(self) -> DataType.ValueType:
        """The type of the numbers. ValueError where rows are missing."""
        if self._data_type is None or not self.complete:
            raise ValueError(f"array is not complete: {self._num_rows} rows so far")
        return self._data_type

    def _advance(self, num_bytes: int, row_bytes: int) -> int:
        start = self._num_rows * row_bytes
        if not num_bytes and not self.shape[0] * row_bytes:
            # No numbers at all: either no rows, or rows without width.
            self._num_rows = self.shape[0]
            return start
        if not num_bytes or row_bytes == 0 or num_bytes % row_bytes:
            raise ValueError(f"slice of {num_bytes} bytes is not whole rows of {row_bytes}")
        if start + num_bytes > self.shape[0] * row_bytes:
            raise ValueError("slice reaches past the last row")
        self._num_rows += num_bytes // row_bytes
        return start


class SliceAssembler:
    """Puts the slices of one array together again, in a buffer allocated once."""

    def __init__(self) -> None:
        self._order = SliceOrder()
        self._data = bytearray()

    @property
    def started(self) -> bool:
        """Some slice is here."""
        return self._order.started

    @property
    def complete(self) -> bool:
        """Every row is here."""
        return self._order.complete

    def add(self, piece: TensorSlice) -> None:
        """Takes the next slice; ValueError where it does not continue the ones before."""
        is_first = not self.started
        start = self._order.take(piece)
        if is_first:
            self._data = bytearray(_num_bytes(piece.shape, _resolve(piece.data_type)))
        self._data[start : start + len(piece.data)] = piece.data

    def array(self) -> NDArray[Any]:
        """The whole array: int32 for INT32, else float32. ValueError where rows are missing."""
        data_type = self._order.whole()
        return _from_wire(self._data, self._order.shape, data_type)

    def tensor(self) -> Tensor:
        """The whole array as it was sent. ValueError where rows are missing."""
        data_type = self._order.whole()
        return Tensor(data_type=data_type, shape=self._order.shape, data=bytes(self._data))


def rows_of(piece: TensorSlice) -> NDArray[Any]:
    """The rows of one slice, [rows, ...]: int32 for INT32, else float32.

    Raises ValueError where these are not whole rows.
    """
    data_type = _resolve(piece.data_type)
    row_bytes = _num_bytes(piece.shape[1:], data_type)
    if row_bytes == 0 or len(piece.data) % row_bytes:
        raise ValueError(f"slice of {len(piece.data)} bytes is not whole rows of {row_bytes}")
    shape = (len(piece.data) // row_bytes, *piece.shape[1:])
    return _from_wire(bytearray(piece.data), shape, data_type)


def _resolve(data_type: DataType.ValueType) -> DataType.ValueType:
    if data_type == tensor_pb2.DATA_TYPE_UNSPECIFIED:
        return tensor_pb2.DATA_TYPE_FLOAT32
    if data_type not in _WIRE_DTYPES:
        raise ValueError(f"unknown data type {data_type}")
    return data_type


def _num_bytes(shape: Sequence[int], data_type: DataType.ValueType) -> int:
    if any(length < 0 for length in shape):
        raise ValueError(f"shape {list(shape)} holds a negative length")
    return math.prod(shape) * _WIRE_DTYPES[data_type].itemsize


def _to_wire(array: NDArray[Any], data_type: DataType.ValueType) -> NDArray[Any]:
    if data_type == tensor_pb2.DATA_TYPE_INT32:
        if not np.can_cast(array.dtype, np.int32):
            raise ValueError(f"{array.dtype} does not fit INT32")
        return array.astype("<i4", copy=False)
    if data_type == tensor_pb2.DATA_TYPE_BFLOAT16:
        return _round_to_bfloat16(array.astype("<f4", copy=False))
    with np.errstate(over="ignore"):
        return array.astype(_WIRE_DTYPES[data_type], copy=False)


def _from_wire(
    data: bytearray, shape: Sequence[int], data_type: DataType.ValueType
) -> NDArray[Any]:
    wire = np.frombuffer(data, dtype=_WIRE_DTYPES[data_type]).reshape(tuple(shape))
    if data_type == tensor_pb2.DATA_TYPE_INT32:
        return wire.astype(np.int32, copy=False)
    if data_type == tensor_pb2.DATA_TYPE_BFLOAT16:
        return (wire.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return wire.astype(np.float32, copy=False)


def _round_to_bfloat16(array: NDArray[np.float32]) -> NDArray[np.uint16]:
    bits = np.ascontiguousarray(array).view("<u4").reshape(array.shape)
    upper = bits >> np.uint32(16)
    # Half of the last kept bit, less one where that bit is even: ties go to even.
    rounded = (bits + np.uint32(0x7FFF) + (upper & np.uint32(1))) >> np.uint32(16)
    # A NaN whose payload sits in the lower half would round to infinity.
    quiet = upper | np.uint32(0x0040)
    return np.where(np.isnan(array), quiet, rounded).astype("<u2")
