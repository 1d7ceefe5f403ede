"""An .npz of float32 arrays, laid out in one buffer before its numbers are there.

All sizes are known from the shapes, so each row is written once, at its final place, in whatever
order the arrays grow; the checksums grow with them. Members are stored, never compressed.
"""

import io
import math
import shutil
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from primase.tensors import SliceOrder
from primase.type.v1 import tensor_pb2
from primase_gateway.finite import finite

Shape = tuple[int, ...]

NUMBER = np.dtype("<f4")
# Beyond this a zip needs 64-bit fields, which not every reader knows.
MAX_BYTES = (1 << 32) - 1
COPIED_BYTES = 1 << 20

# The zip format's own records (APPNOTE 4.3.7, 4.3.12, 4.3.16), without what is always 0.
_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_VERSION = 20
_STORED = 0
# 1 January 1980, the zip format's own beginning: equal numbers make equal files.
_DATE = 0x21


@dataclass(frozen=True)
class Member:
    """One array: where its record begins in the file, and where its numbers do."""

    name: str
    shape: Shape
    offset: int
    header: bytes

    @property
    def file_name(self) -> bytes:
        """As the zip knows it; numpy takes the ending off again."""
        return f"{self.name}.npy".encode()

    @property
    def num_bytes(self) -> int:
        """Bytes of the numbers."""
        return math.prod(self.shape) * NUMBER.itemsize

    @property
    def file_bytes(self) -> int:
        """Bytes of the .npy file."""
        return len(self.header) + self.num_bytes

    @property
    def file_start(self) -> int:
        """Where the .npy file begins."""
        return self.offset + _LOCAL.size + len(self.file_name)

    @property
    def data_start(self) -> int:
        """Where the numbers begin."""
        return self.file_start + len(self.header)

    @property
    def end(self) -> int:
        """Where the numbers end, and the next record begins."""
        return self.data_start + self.num_bytes

    def local_record(self, checksum: int) -> bytes:
        """What stands before the .npy file."""
        sizes = (checksum, self.file_bytes, self.file_bytes, len(self.file_name), 0)
        record = _LOCAL.pack(b"PK\3\4", _VERSION, 0, _STORED, 0, _DATE, *sizes)
        return record + self.file_name

    def central_record(self, checksum: int) -> bytes:
        """Its entry in the directory at the end."""
        sizes = (checksum, self.file_bytes, self.file_bytes, len(self.file_name))
        record = _CENTRAL.pack(
            b"PK\1\2", _VERSION, _VERSION, 0, _STORED, 0, _DATE, *sizes, *[0] * 5, self.offset
        )
        return record + self.file_name


@dataclass(frozen=True)
class Layout:
    """Where everything stands in a file of `num_bytes` bytes."""

    members: tuple[Member, ...]

    @classmethod
    def of(cls, shapes: Mapping[str, Shape]) -> "Layout":
        """Arrays in the order of `shapes`."""
        members: list[Member] = []
        for name, shape in shapes.items():
            offset = members[-1].end if members else 0
            members.append(Member(name, shape, offset, _npy_header(shape)))
        return cls(tuple(members))

    @property
    def directory_start(self) -> int:
        """Where the arrays end."""
        return self.members[-1].end if self.members else 0

    @property
    def num_bytes(self) -> int:
        """Bytes of the whole file."""
        entries = sum(_CENTRAL.size + len(member.file_name) for member in self.members)
        return self.directory_start + entries + _END.size


def _npy_header(shape: Shape) -> bytes:
    text = io.BytesIO()
    description = {"descr": NUMBER.str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(text, description)
    return text.getvalue()


@dataclass
class _Progress:
    member: Member
    checksum: int
    order: SliceOrder
    num_rows: int = 0


class Npz:
    """The file while its rows come in."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._buffer = bytearray(layout.num_bytes)
        self._arrays = {
            member.name: _Progress(member, zlib.crc32(member.header), SliceOrder())
            for member in layout.members
        }

    def add(self, name: str, piece: tensor_pb2.TensorSlice) -> None:
        """Takes the next rows of the array `name`, each of them [width].

        Raises ValueError where they do not continue those before, Refusal where not finite.
        """
        array = self._arrays[name]
        finite(np.frombuffer(piece.data, NUMBER))
        if math.prod(piece.shape) * NUMBER.itemsize != array.member.num_bytes:
            raise ValueError(f"{name} is of shape {list(piece.shape)}")
        start = array.member.data_start + array.order.take(piece)
        self._buffer[start : start + len(piece.data)] = piece.data
        row_bytes = array.member.num_bytes // piece.shape[0]
        array.num_rows = piece.row_offset + len(piece.data) // row_bytes
        array.checksum = zlib.crc32(piece.data, array.checksum)

    @property
    def num_rows(self) -> int:
        """Rows that are there of every array."""
        return min((array.num_rows for array in self._arrays.values()), default=0)

    def finish(self) -> memoryview:
        """The whole file. Raises ValueError where rows are missing."""
        for array in self._arrays.values():
            array.order.whole()
            self._put(array.member.offset, array.member.local_record(array.checksum))
            self._put(array.member.file_start, array.member.header)
        start = self._layout.directory_start
        directory = b"".join(
            array.member.central_record(array.checksum) for array in self._arrays.values()
        )
        count = len(self._arrays)
        end = _END.pack(b"PK\5\6", 0, 0, count, count, len(directory), start, 0)
        self._put(start, directory + end)
        return memoryview(self._buffer).toreadonly()

    def _put(self, start: int, data: bytes) -> None:
        self._buffer[start : start + len(data)] = data


def deflated(file: memoryview) -> memoryview:
    """The same arrays, compressed a little."""
    smaller = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(file)) as stored,
        zipfile.ZipFile(smaller, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as compressed,
    ):
        for entry in stored.infolist():
            with stored.open(entry) as read, compressed.open(entry.filename, "w") as write:
                shutil.copyfileobj(read, write, COPIED_BYTES)
    return smaller.getbuffer().toreadonly()
