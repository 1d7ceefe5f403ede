"""Arrays as Parquet, from the journal."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from primase.cli.array_record import ArrayRecord, array_names
from primase.cli.journal import Journal, StoredEntry
from primase.cli.parquet_file import Row, write_rows

_BLOCK_ROWS = 256


@dataclass(frozen=True)
class RecordRows:
    """One row for each record: id, error (null where all went well), what the head has under
    `count`, and a column of float32 lists for each array, row-major, such as `mean/33`.
    """

    names: Sequence[str]
    count: str

    @property
    def schema(self) -> pa.Schema:
        """The columns."""
        return _schema(self.names, self.count)

    def rows(self, entry: StoredEntry) -> Iterator[Row]:
        """Of a record."""
        record = ArrayRecord.of(entry)
        if record.error:
            yield {"id": record.id, "error": record.error}
            return
        arrays = {**record.vectors, **record.matrices}
        flat = {name: array.array().ravel() for name, array in arrays.items()}
        yield {"id": record.id, self.count: record.head[self.count], **flat}


def write_records(path: Path, journal: Journal, count: str) -> None:
    """As `RecordRows` says."""
    form = RecordRows(_names(journal), count)
    rows = (row for entry in journal.stored() for row in form.rows(entry))
    write_rows(path, form.schema, rows)


def write_matrix_rows(path: Path, journal: Journal) -> None:
    """One row for each row of the matrices of a record, which have as many: id, error (null where
    all went well; else its only row), row, and a column of float32 lists for each matrix.
    """
    rows = (row for entry in journal.stored() for row in _matrix_rows(ArrayRecord.of(entry)))
    write_rows(path, _schema(_names(journal), "row"), rows)


def _names(journal: Journal) -> Sequence[str]:
    # The first record that went well names the columns: all have the same.
    return next(filter(None, map(array_names, journal.heads())), ())


def _schema(names: Sequence[str], number: str) -> pa.Schema:
    leading = (("id", pa.string()), ("error", pa.string()), (number, pa.int64()))
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
