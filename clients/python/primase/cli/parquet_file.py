"""Rows as Parquet; needs pyarrow, which the extra `primase[parquet]` installs."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from primase.cli.encoded_record import EncodedRecord, array_names
from primase.cli.journal import Entry, Journal

ROW_GROUP_BYTES = 32 * 1024 * 1024
ROW_BYTES = 1024  # about what a row takes besides its arrays while it waits

Row = Mapping[str, Any]

_LEADING = (("id", pa.string()), ("error", pa.string()), ("num_residues", pa.int64()))


def write_encodings(path: Path, journal: Journal) -> None:
    """One row for each record: id, error (null where all went well), num_residues, and a column of
    float32 lists for each array, row-major, such as `mean/33` or `contacts`.
    """
    # The first record that went well names the columns: all have the same.
    names = next(filter(None, map(array_names, journal.heads())), ())
    columns = (*_LEADING, *((name, pa.list_(pa.float32())) for name in names))
    write_rows(path, pa.schema(columns), map(_row, journal.entries()))


def write_rows(path: Path, schema: pa.Schema, rows: Iterable[Row]) -> None:
    """Write rows in groups of about 32 MiB; what a row lacks is null."""
    with pq.ParquetWriter(path, schema) as writer:
        for group in _groups(rows):
            arrays = [pa.array([row.get(c.name) for row in group], c.type) for c in schema]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def _groups(rows: Iterable[Row]) -> Iterator[list[Row]]:
    group: list[Row] = []
    num_bytes = 0
    for row in rows:
        group.append(row)
        num_bytes += ROW_BYTES + sum(getattr(cell, "nbytes", 0) for cell in row.values())
        if num_bytes >= ROW_GROUP_BYTES:
            yield group
            group, num_bytes = [], 0
    if group:
        yield group


def _row(entry: Entry) -> Row:
    record = EncodedRecord.of(entry)
    if record.error:
        return {"id": record.id, "error": record.error}
    arrays = {**record.vectors, **record.matrices}
    flat = {name: array.ravel() for name, array in arrays.items()}
    return {"id": record.id, "num_residues": record.num_residues, **flat}
