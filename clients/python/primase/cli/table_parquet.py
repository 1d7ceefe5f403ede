"""Tables as Parquet."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from primase.cli.journal import Journal, StoredEntry
from primase.cli.parquet_file import Row, write_rows
from primase.cli.table import CellKind, Table, objects_of

_TYPES: Mapping[CellKind, pa.DataType] = {
    "text": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "numbers": pa.list_(pa.float64()),
}


@dataclass(frozen=True)
class TableRows:
    """A row for each row of the table.

    with_errors: what failed has a row too, with what is known of it and the column `error`, which
        is null everywhere else.
    """

    table: Table
    with_errors: bool = False

    @property
    def schema(self) -> pa.Schema:
        """The columns."""
        columns: dict[str, CellKind] = {**self.table.columns}
        if self.with_errors:
            columns["error"] = "text"
        return pa.schema([(name, _TYPES[kind]) for name, kind in columns.items()])

    def rows(self, entry: StoredEntry) -> Iterator[Row]:
        """Of a record."""
        for line in objects_of(entry.body.read(0, entry.body.num_bytes)):
            if "error" not in line:
                for row in self.table.rows(line):
                    yield dict(zip(self.table.columns, row, strict=True))
            elif self.with_errors:
                yield line


def write_parquet(path: Path, journal: Journal, table: Table) -> None:
    """As `TableRows` says."""
    form = TableRows(table)
    rows = (row for entry in journal.stored() for row in form.rows(entry))
    write_rows(path, form.schema, rows)
