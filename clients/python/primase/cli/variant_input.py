"""Variants as a file gives them: under the wild types that they belong to."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, groupby
from math import isnan
from typing import NamedTuple

from primase.cli.csv_rows import CsvError, Row, name_of, read_rows
from primase.cli.sequence_input import Columns
from primase.fasta import Record

# Variants of a query share the passes over their positions, so a query is as large as is safe.
MAX_QUERY_VARIANTS = 50_000
MAX_QUERY_BYTES = 1024 * 1024


class MeasuredQuery(NamedTuple):
    """A wild type and some of its variants with what was measured of each; None where nothing was.

    Without variants, every single substitution is asked for.
    """

    id: str
    sequence: str
    variants: tuple[str, ...] = ()
    measured: tuple[float | None, ...] = ()


class Measured(NamedTuple):
    """One variant of a file."""

    wild_type: Record
    variant: str
    measured: float | None


@dataclass(frozen=True)
class VariantColumns:
    """Where a CSV of variants has them.

    score: None takes `score` where the file has it.
    """

    variant: str
    score: str | None
    wild_type: Columns


class VariantInput:
    """The rows of a CSV, read as they are needed.

    wild_types: by name; one alone is that of every row, several are found by the column of names.
    None: each row has its own sequence.

    Raises CsvError.
    """

    def __init__(
        self,
        lines: Iterable[bytes],
        columns: VariantColumns,
        wild_types: Mapping[str, str] | None,
    ) -> None:
        self._columns = columns
        self._wild_types = wild_types
        self._score = columns.score or "score"
        rows = read_rows(lines, self._required(), (self._score, columns.wild_type.id))
        first = next(rows, None)
        self._rows = chain([] if first is None else [first], rows)
        self.has_measured = first is not None and first.cells[self._score] is not None

    def queries(self) -> Iterator[MeasuredQuery]:
        """Rows of one wild type that follow each other go together, as many as a query holds."""
        for wild_type, rows in groupby(map(self._measured, self._rows), lambda row: row.wild_type):
            for group in _groups(rows):
                variants = tuple(row.variant for row in group)
                measured = tuple(row.measured for row in group)
                yield MeasuredQuery(wild_type.id, wild_type.sequence, variants, measured)

    def _required(self) -> list[str]:
        required = [self._columns.variant]
        if self._columns.score is not None:
            required.append(self._columns.score)
        if self._wild_types is None:
            required.append(self._columns.wild_type.sequence)
        elif len(self._wild_types) > 1:
            required.append(self._columns.wild_type.id)
        return required

    def _measured(self, row: Row) -> Measured:
        cell = row.cells[self._score]
        return Measured(
            self._wild_type(row), row.cell(self._columns.variant), _number(row, cell or "")
        )

    def _wild_type(self, row: Row) -> Record:
        if self._wild_types is None:
            is_named = row.cells[self._columns.wild_type.id] is not None
            name = name_of(row, self._columns.wild_type.id) if is_named else "wild type"
            return Record(name, row.cell(self._columns.wild_type.sequence))
        if len(self._wild_types) == 1:
            (only,) = self._wild_types.items()
            return Record(*only)
        name = name_of(row, self._columns.wild_type.id)
        if name not in self._wild_types:
            raise CsvError(row.line_number, f"no wild type is named {name!r}")
        return Record(name, self._wild_types[name])


def _number(row: Row, cell: str) -> float | None:
    try:
        number = float(cell or "nan")
    except ValueError as error:
        raise CsvError(row.line_number, f"{cell!r} is no number") from error
    return None if isnan(number) else number


def _groups(rows: Iterable[Measured]) -> Iterator[list[Measured]]:
    group: list[Measured] = []
    num_bytes = 0
    for row in rows:
        group.append(row)
        num_bytes += len(row.variant)
        if len(group) >= MAX_QUERY_VARIANTS or num_bytes >= MAX_QUERY_BYTES:
            yield group
            group, num_bytes = [], 0
    if group:
        yield group
