"""A record whose body is arrays of float32, one after the other, row-major.

Its head names them in order: `arrays` holds pairs of a name and a shape.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from primase.cli.journal import Head, StoredBody, StoredEntry

Array = NDArray[Any]

FLOAT32 = np.dtype("<f4")
_PIECE_BYTES = 1 << 20


@dataclass(frozen=True)
class StoredArray:
    """An array in the journal, read as far as it is asked for."""

    shape: tuple[int, ...]
    body: StoredBody
    offset: int

    def rows(self, start: int, stop: int) -> Array:
        """The rows from `start` to before `stop`: [rows, ...]."""
        row_bytes = math.prod(self.shape[1:]) * FLOAT32.itemsize
        data = self.body.read(self.offset + start * row_bytes, (stop - start) * row_bytes)
        return np.frombuffer(data, FLOAT32).reshape(stop - start, *self.shape[1:])

    def array(self) -> Array:
        """All of it."""
        return self.rows(0, self.shape[0])

    def pieces(self) -> Iterator[bytes]:
        """Its bytes, at most 1 MiB at a time."""
        end = self.offset + math.prod(self.shape) * FLOAT32.itemsize
        for start in range(self.offset, end, _PIECE_BYTES):
            yield self.body.read(start, min(_PIECE_BYTES, end - start))


@dataclass(frozen=True)
class ArrayRecord:
    """One record of the input: its arrays, or why there are none.

    error: empty where all went well.
    vectors: [width] each, of a size that the model has.
    matrices: of a size that depends on the sequence.
    """

    head: Head
    error: str
    vectors: Mapping[str, StoredArray]
    matrices: Mapping[str, StoredArray]

    @classmethod
    def of(cls, entry: StoredEntry) -> Self:
        """What an entry of the journal holds."""
        arrays = dict(_arrays(entry))
        return cls(
            entry.head,
            error_of(entry.head),
            {name: array for name, array in arrays.items() if len(array.shape) == 1},
            {name: array for name, array in arrays.items() if len(array.shape) != 1},
        )

    @property
    def id(self) -> str:
        """Its name."""
        return str(self.head["id"])


def error_of(head: Head) -> str:
    """Why the record failed; empty where it did not."""
    return "".join(reason for _, reason in head["failures"])


def array_names(head: Head) -> tuple[str, ...]:
    """The names of the arrays of a record."""
    return tuple(name for name, _ in head.get("arrays", ()))


def _arrays(entry: StoredEntry) -> Iterator[tuple[str, StoredArray]]:
    offset = 0
    for name, shape in entry.head.get("arrays", ()):
        yield name, StoredArray(tuple(shape), entry.body, offset)
        offset += math.prod(shape) * FLOAT32.itemsize
