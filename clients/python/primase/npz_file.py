"""Encodings as .npz, for `numpy.load`. Memory does not grow with the number of residues."""

from pathlib import Path
from zipfile import ZipFile

import numpy as np

from primase.encoding_arrays import Array, EncodingResult, matrices, vectors
from primase.encoding_file import EncodingFile
from primase.item_errors import problem_of
from primase.vector_table import VectorTable


class NpzFile(EncodingFile):
    """`ids` and `errors`, vectors stacked as `mean/33` [records, width], and matrices one by one as
    `contacts/0`, by number of the record. A record that failed has rows of NaN and no matrices.
    """

    def __init__(self, path: Path) -> None:
        self._zip = ZipFile(path, "w")
        self._tables: dict[str, VectorTable] = {}
        self._ids: list[str] = []
        self._errors: list[str] = []

    def write(self, result: EncodingResult) -> None:
        """Add one record."""
        number = len(self._ids)
        self._ids.append(result.id)
        self._errors.append("" if result.error is None else problem_of(result.error))
        if result.error is not None:
            return
        for name, vector in vectors(result.value):
            self._tables.setdefault(name, VectorTable(len(vector))).put(number, vector)
        for name, matrix in matrices(result.value):
            self._save(f"{name}/{number}", matrix)

    def _finish(self) -> None:
        for name, table in self._tables.items():
            with self._zip.open(f"{name}.npy", "w", force_zip64=True) as member:
                table.save(member, len(self._ids))
        self._save("ids", np.array(self._ids, dtype=np.str_))
        self._save("errors", np.array(self._errors, dtype=np.str_))

    def _close(self) -> None:
        for table in self._tables.values():
            table.close()
        self._zip.close()

    def _save(self, name: str, array: Array) -> None:
        with self._zip.open(f"{name}.npy", "w", force_zip64=True) as member:
            np.lib.format.write_array(member, array, allow_pickle=False)
