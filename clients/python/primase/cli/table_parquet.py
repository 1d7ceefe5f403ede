"""Tables as Parquet."""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from primase.cli.journal import Journal
from primase.cli.parquet_file import write_rows
from primase.cli.table import CellKind, Table

_TYPES: Mapping[CellKind, pa.DataType] = {
    "text": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "numbers": pa.list_(pa.float64()),
}


def write_parquet(path: Path, journal: Journal, table: Table) -> None:
    """A row for each row of the table."""
    schema = pa.schema([(name, _TYPES[kind]) for name, kind in table.columns.items()])
    rows = (
        dict(zip(table.columns, row, strict=True))
        for entry in journal.entries()
        for row in table.rows_of(entry.body)
    )
    write_rows(path, schema, rows)
