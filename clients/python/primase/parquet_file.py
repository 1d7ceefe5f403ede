"""Encodings as Parquet; needs pyarrow, which the extra `primase[parquet]` installs."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from primase.encoding_arrays import EncodingResult, matrices, vectors
from primase.encoding_file import EncodingFile
from primase.item_errors import problem_of

ROW_GROUP_BYTES = 32 * 1024 * 1024

LEADING = (("id", pa.string()), ("error", pa.string()), ("num_residues", pa.int64()))


class ParquetFile(EncodingFile):
    """One row for each record: id, error (null where all went well), num_residues, and a column of
    float32 lists for each array, row-major, such as `mean/33` or `contacts`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: pq.ParquetWriter | None = None
        self._rows: list[dict[str, Any]] = []
        self._names: tuple[str, ...] = ()
        self._num_bytes = 0

    def write(self, result: EncodingResult) -> None:
        """Add one record."""
        if result.error is not None:
            self._rows.append({"id": result.id, "error": problem_of(result.error)})
            return
        arrays = dict((*vectors(result.value), *matrices(result.value)))
        # The first record that went well names the columns.
        self._names = self._names or tuple(arrays)
        self._num_bytes += sum(array.nbytes for array in arrays.values())
        flat = {name: array.ravel() for name, array in arrays.items()}
        self._rows.append({"id": result.id, "num_residues": result.value.num_residues, **flat})
        if self._num_bytes >= ROW_GROUP_BYTES:
            self._flush()

    def _finish(self) -> None:
        self._flush()

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def _flush(self) -> None:
        columns = (*LEADING, *((name, pa.list_(pa.float32())) for name in self._names))
        schema = pa.schema(columns)
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, schema)
        arrays = [pa.array([row.get(name) for row in self._rows], kind) for name, kind in columns]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
        self._rows.clear()
        self._num_bytes = 0
