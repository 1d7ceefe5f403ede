"""CSV with a header, read row by row: UTF-8, commas or tabs, quotes as spreadsheets write them."""

import csv
from codecs import iterdecode
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from primase.fasta import Record
from primase.input_error import InputError


class CsvError(InputError):
    """The text is not the CSV that was asked for; the message names the line."""


class Row(NamedTuple):
    """One row: `cells` are by column, None where the file has no such column."""

    line_number: int
    cells: dict[str, str | None]

    def cell(self, column: str) -> str:
        """A cell of a column that the file has."""
        return self.cells[column] or ""


def read_rows(
    lines: Iterable[bytes],
    required: Sequence[str],
    optional: Sequence[str] = (),
    delimiter: str = ",",
) -> Iterator[Row]:
    """Rows with some of their columns, read as they are needed. Raises CsvError.

    A row that is empty is passed over; one of another length than the header is refused.
    """
    rows = _numbered_rows(lines, delimiter)
    _, header = next(rows, (1, []))
    if missing := [column for column in required if column not in header]:
        raise CsvError(
            1, f"no column {missing[0]!r} among {', '.join(map(repr, header)) or 'none'}"
        )
    for number, cells in rows:
        if len(cells) != len(header):
            raise CsvError(number, f"{len(cells)} cells under {len(header)} columns")
        named = dict(zip(header, cells, strict=True))
        yield Row(number, {column: named.get(column) for column in (*required, *optional)})


def read_sequences(
    lines: Iterable[bytes], id_column: str, sequence_column: str
) -> Iterator[Record]:
    """Sequences and their names. Raises CsvError."""
    for row in read_rows(lines, (id_column, sequence_column)):
        yield Record(name_of(row, id_column), row.cell(sequence_column))


def name_of(row: Row, id_column: str) -> str:
    """The name in a row. CsvError where it could not stand in a line of text."""
    name = row.cell(id_column)
    if not name or not name.isprintable():
        raise CsvError(row.line_number, f"{name!r} in column {id_column!r} is no name")
    return name


def _numbered_rows(lines: Iterable[bytes], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(iterdecode(lines, "utf-8-sig"), delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            if cells:
                yield reader.line_num, cells
    except csv.Error as error:
        raise CsvError(reader.line_num, str(error)) from error
    except UnicodeDecodeError as error:
        raise CsvError(reader.line_num + 1, str(error)) from error
