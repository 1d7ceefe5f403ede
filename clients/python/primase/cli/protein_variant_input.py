"""Variants as a file gives them: under the wild types that they belong to."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, groupby
from typing import NamedTuple

from primase.cli.csv_rows import CsvError, Row, name_of, read_rows
from primase.cli.observations import Observed, ObservedColumns
from primase.cli.sequence_input import Columns
from primase.fasta import Record

# Variants of a query share the passes over their positions, so a query is as large as is safe.
MAX_QUERY_VARIANTS = 50_000
MAX_QUERY_BYTES = 1024 * 1024


class MeasuredQuery(NamedTuple):
    """A wild type and some of its variants with what is known of each.

    Without variants, every single substitution is asked for.
    """

    id: str
    sequence: str
    variants: tuple[str, ...] = ()
    observed: tuple[Observed, ...] = ()


class Measured(NamedTuple):
    """One variant of a file."""

    wild_type: Record
    variant: str
    observed: Observed


@dataclass(frozen=True)
class VariantColumns:
    """Where a CSV of variants has them."""

    variant: str
    observed: ObservedColumns
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
        optional = (*columns.observed.optional, columns.wild_type.id)
        rows = read_rows(lines, self._required(), optional)
        first = next(rows, None)
        self._rows = chain([] if first is None else [first], rows)
        self.has_measured = first is not None and columns.observed.has_measured(first)

    def queries(self) -> Iterator[MeasuredQuery]:
        """Rows of one wild type that follow each other go together, as many as a query holds."""
        for wild_type, rows in groupby(map(self._measured, self._rows), lambda row: row.wild_type):
            for group in _groups(rows):
                variants = tuple(row.variant for row in group)
                observed = tuple(row.observed for row in group)
                yield MeasuredQuery(wild_type.id, wild_type.sequence, variants, observed)

    def _required(self) -> list[str]:
        required = [self._columns.variant, *self._columns.observed.required]
        if self._wild_types is None:
            required.append(self._columns.wild_type.sequence)
        elif len(self._wild_types) > 1:
            required.append(self._columns.wild_type.id)
        return required

    def _measured(self, row: Row) -> Measured:
        variant = row.cell(self._columns.variant)
        return Measured(self._wild_type(row), variant, self._columns.observed.of(row))

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
