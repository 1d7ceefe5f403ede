"""Rows as Parquet; needs pyarrow, which the extra `primase[parquet]` installs."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

ROW_GROUP_BYTES = 32 * 1024 * 1024
ROW_BYTES = 1024  # about what a row takes besides its arrays while it waits

Row = Mapping[str, Any]


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
