"""Rows of one width, kept on disk until their number is known."""

import shutil
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

FLOAT32 = np.dtype("<f4")


class VectorTable:
    """A table of float32; rows that were never put are NaN.

    folder: where the rows are kept; what is there vanishes with the process.
    """

    def __init__(self, width: int, folder: Path) -> None:
        self._width = width
        self._num_rows = 0
        self._rows = TemporaryFile(dir=folder)  # noqa: SIM115  # closed by `close`

    def put(self, number: int, vector: NDArray[Any]) -> None:
        """Set row `number`; rows come in ascending order."""
        self._fill(number)
        self._rows.write(vector.astype(FLOAT32).tobytes())
        self._num_rows = number + 1

    def save(self, file: IO[bytes], num_rows: int) -> None:
        """Write [num_rows, width] as .npy."""
        self._fill(num_rows)
        header = {
            "descr": FLOAT32.str,
            "fortran_order": False,
            "shape": (num_rows, self._width),
        }
        np.lib.format.write_array_header_1_0(file, header)
        self._rows.seek(0)
        shutil.copyfileobj(self._rows, file)

    def close(self) -> None:
        """Let go of the space on disk."""
        self._rows.close()

    def _fill(self, num_rows: int) -> None:
        nothing = np.full(self._width, np.nan, FLOAT32).tobytes()
        for _ in range(self._num_rows, num_rows):
            self._rows.write(nothing)
        self._num_rows = num_rows
