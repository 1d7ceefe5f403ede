"""Arrays as the scripted server sends them."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from primase.esm2.v1 import esm2_service_pb2 as esm2
from primase.type.v1 import tensor_pb2
from primase.type.v1.tensor_pb2 import TensorSlice


def every_number(name: str) -> tuple[tensor_pb2.DataType.ValueType, NDArray[Any]]:
    """The bits of all finite numbers of a 16-bit type, both infinities and one NaN."""
    exponent = {"float16": 0x7C00, "bfloat16": 0x7F80}[name]
    bits = np.arange(1 << 16, dtype="<u2")
    is_finite = (bits & exponent) != exponent
    # The highest bit of the fraction, without which hardware changes the others.
    quiet = exponent | (exponent >> 1 & ~exponent)
    special = np.array([exponent, exponent | 0x8000, quiet], "<u2")
    data_type = tensor_pb2.DataType.Value(f"DATA_TYPE_{name.upper()}")
    return data_type, np.concatenate([bits[is_finite], special])


def in_slices(
    data_type: tensor_pb2.DataType.ValueType, numbers: NDArray[Any]
) -> Iterator[esm2.StreamEncodeResponse]:
    """A mean of those bits, in two messages."""
    middle = 12_345
    for start, end in ((0, middle), (middle, len(numbers))):
        piece = TensorSlice(
            data_type=data_type,
            shape=numbers.shape,
            row_offset=start,
            data=numbers[start:end].tobytes(),
        )
        one = esm2.EncodingSlice(kind=esm2.INCLUDE_MEAN, layer=6, slice=piece)
        yield encoded(one, last=end == len(numbers))


def some_rows(numbers: list[int], shape: int | None = None, row: int = 0) -> TensorSlice:
    """Numbers of an array [shape], the first in that row."""
    return TensorSlice(
        data_type=tensor_pb2.DATA_TYPE_FLOAT32,
        shape=[shape or len(numbers)],
        row_offset=row,
        data=np.array(numbers, "<f4").tobytes(),
    )


def mean_slice(numbers: list[int], shape: int | None = None, row: int = 0) -> esm2.EncodingSlice:
    """The same, of the mean at layer 6."""
    return esm2.EncodingSlice(kind=esm2.INCLUDE_MEAN, layer=6, slice=some_rows(numbers, shape, row))


def encoded(
    *slices: esm2.EncodingSlice, last: bool = False, item: int = 0
) -> esm2.StreamEncodeResponse:
    """A message with these slices."""
    rows = esm2.EncodingRows(slices=slices, num_residues=4, last=last)
    return esm2.StreamEncodeResponse(item_index=item, rows=rows)
