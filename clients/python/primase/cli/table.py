"""Results that are rows: kept as JSON lines, written as TSV, JSON lines or Parquet."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TextIO

from primase.cli.bulk_run import Finished
from primase.cli.journal import Body, Head, Journal

JsonObject = Mapping[str, Any]
CellKind = Literal["text", "integer", "number", "numbers"]


@dataclass(frozen=True)
class Table:
    """Columns by name, and the rows that an object of the JSON lines stands for."""

    columns: Mapping[str, CellKind]
    rows: Callable[[JsonObject], Iterable[Sequence[Any]]]

    def rows_of(self, body: bytes | memoryview) -> Iterator[Sequence[Any]]:
        """The rows of a record; what failed has none."""
        for line in objects_of(body):
            if "error" not in line:
                yield from self.rows(line)


class TsvSink:
    """Tab-separated text, a line for each row; numbers of a list have commas between them."""

    def __init__(self, file: TextIO, table: Table) -> None:
        self._file = file
        self._table = table
        file.write("\t".join(table.columns) + "\n")

    def append(self, head: Head, body: Body) -> None:
        """Add the rows of one record."""
        for piece in body:
            for row in self._table.rows_of(piece):
                self._file.write("\t".join(map(_text, row)) + "\n")


def finished(
    id_: str,
    objects: Sequence[JsonObject],
    failures: Sequence[tuple[str, str]] = (),
    num_parts: int = 1,
) -> Finished:
    """A record of some JSON lines. num_parts: what a progress bar counts."""
    lines = "".join(json.dumps(line) + "\n" for line in objects)
    head = {"id": id_, "failures": failures, "num_parts": num_parts}
    return Finished(head, (lines.encode(),))


def objects_of(body: bytes | memoryview) -> Iterator[JsonObject]:
    """The objects of a record's JSON lines."""
    return map(json.loads, bytes(body).splitlines())


def write_tsv(path: Path, journal: Journal, table: Table) -> None:
    """Write the records as `TsvSink` does."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        sink = TsvSink(file, table)
        for head, body in journal.entries():
            sink.append(head, (body,))


def write_json_lines(path: Path, journal: Journal, table: Table) -> None:
    """Write the JSON lines of every record, also of those that failed."""
    with path.open("wb") as file:
        file.writelines(entry.body for entry in journal.entries())


def _text(cell: object) -> str:
    if cell is None:
        return ""
    return ",".join(map(str, cell)) if isinstance(cell, list) else str(cell)
