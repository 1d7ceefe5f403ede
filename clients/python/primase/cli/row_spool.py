"""The arrays of one record while their rows come in."""

import math
from collections.abc import Iterator
from pathlib import Path
from tempfile import SpooledTemporaryFile
from types import TracebackType
from typing import Self

from primase.cli.array_record import FLOAT32
from primase.evo2_results import LayerRows

MEMORY_BYTES = 8 << 20
_PIECE_BYTES = 1 << 20


class RowSpool:
    """Puts rows where they belong: arrays of float32, one after the other, in order of coming.

    What is larger than 8 MiB is kept on disk. Iterating gives all of it in pieces.

    folder: where it is kept; what is there vanishes with the process.
    """

    def __init__(self, folder: Path) -> None:
        self.shapes: dict[str, tuple[int, ...]] = {}
        self._starts: dict[str, int] = {}
        self._num_bytes = 0
        self._file = SpooledTemporaryFile(MEMORY_BYTES, dir=str(folder))  # noqa: SIM115

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def put(self, rows: LayerRows) -> None:
        """Take some rows."""
        if rows.layer not in self.shapes:
            self._make_room(rows.layer, rows.shape)
        row_bytes = math.prod(rows.shape[1:]) * FLOAT32.itemsize
        self._file.seek(self._starts[rows.layer] + rows.row_offset * row_bytes)
        self._file.write(rows.values.astype(FLOAT32, copy=False).tobytes())

    def __iter__(self) -> Iterator[bytes]:
        for start in range(0, self._num_bytes, _PIECE_BYTES):
            self._file.seek(start)
            yield self._file.read(min(_PIECE_BYTES, self._num_bytes - start))

    def _make_room(self, name: str, shape: tuple[int, ...]) -> None:
        self.shapes[name] = shape
        self._starts[name] = self._num_bytes
        self._num_bytes += math.prod(shape) * FLOAT32.itemsize
        if self._num_bytes > MEMORY_BYTES:
            self._file.rollover()
