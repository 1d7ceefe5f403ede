"""Arrays as Parquet, from the journal."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from primase.cli.array_record import ArrayRecord, array_names
from primase.cli.journal import Journal, StoredEntry
from primase.cli.parquet_file import Row, write_rows

_BLOCK_ROWS = 256


def write_records(path: Path, journal: Journal, count: str) -> None:
    """One row for each record: id, error (null where all went well), what the head has under
    `count`, and a column of float32 lists for each array, row-major, such as `mean/33`.
    """
    leading = (("id", pa.string()), ("error", pa.string()), (count, pa.int64()))

    def row(entry: StoredEntry) -> Row:
        record = ArrayRecord.of(entry)
        if record.error:
            return {"id": record.id, "error": record.error}
        arrays = {**record.vectors, **record.matrices}
        flat = {name: array.array().ravel() for name, array in arrays.items()}
        return {"id": record.id, count: record.head[count], **flat}

    write_rows(path, _schema(journal, leading), map(row, journal.stored()))


def write_matrix_rows(path: Path, journal: Journal) -> None:
    """One row for each row of the matrices of a record, which have as many: id, error (null where
    all went well; else its only row), row, and a column of float32 lists for each matrix.
    """
    leading = (("id", pa.string()), ("error", pa.string()), ("row", pa.int64()))
    rows = (row for entry in journal.stored() for row in _matrix_rows(ArrayRecord.of(entry)))
    write_rows(path, _schema(journal, leading), rows)


def _schema(journal: Journal, leading: tuple[tuple[str, pa.DataType], ...]) -> pa.Schema:
    # The first record that went well names the columns: all have the same.
    names = next(filter(None, map(array_names, journal.heads())), ())
    return pa.schema((*leading, *((name, pa.list_(pa.float32())) for name in names)))


def _matrix_rows(record: ArrayRecord) -> Iterator[Row]:
    if record.error:
        yield {"id": record.id, "error": record.error}
        return
    num_rows = max((matrix.shape[0] for matrix in record.matrices.values()), default=0)
    for start in range(0, num_rows, _BLOCK_ROWS):
        stop = min(start + _BLOCK_ROWS, num_rows)
        blocks = {name: matrix.rows(start, stop) for name, matrix in record.matrices.items()}
        for number in range(stop - start):
            values = {name: np.array(block[number]) for name, block in blocks.items()}
            yield {"id": record.id, "row": start + number, **values}
