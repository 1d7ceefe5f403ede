"""Variants of DNA as a file gives them: CSV, TSV or VCF."""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import BinaryIO, NamedTuple

import click

from primase.cli.csv_rows import CsvError, Row, read_rows
from primase.cli.input_file import suffix_of
from primase.cli.observations import Observed, ObservedColumns
from primase.cli.vcf_rows import read_vcf

POSITION_COLUMNS = ("position", "pos")
_TABS = (".tsv", ".tab", ".txt")


class DnaRow(NamedTuple):
    """One variant of a file, in its words.

    reference: the name of what it belongs to; empty where the file does not say.
    """

    line_number: int
    reference: str
    position: str
    ref: str
    alt: str
    observed: Observed


class DnaColumns(NamedTuple):
    """Where a CSV has its variants. position: None takes `position` or `pos`."""

    position: str | None
    ref: str
    alt: str
    reference: str
    observed: ObservedColumns


class DnaRows:
    """The variants of a file by its name: `.vcf`, tabs in `.tsv`, else CSV. Read as needed.

    are_named: the file says to which reference each variant belongs; VCF always does.
    is_vcf: positions count from 1.

    Raises InputError.
    """

    def __init__(self, file: BinaryIO, columns: DnaColumns, *, are_named: bool) -> None:
        suffix = suffix_of(file)
        self.is_vcf = suffix == ".vcf"
        self.has_measured = False
        self._columns = columns
        self._are_named = are_named
        if self.is_vcf:
            if columns.observed.required:
                raise click.UsageError("VCF has neither measured numbers nor labels: use CSV")
            self._rows = _of_vcf(file)
        else:
            self._rows = self._of_csv(file, "\t" if suffix in _TABS else ",")

    def __iter__(self) -> Iterator[DnaRow]:
        return self._rows

    def _of_csv(self, lines: Iterable[bytes], delimiter: str) -> Iterator[DnaRow]:
        columns = self._columns
        names = (columns.reference,) if self._are_named else ()
        required = (*names, columns.ref, columns.alt, *columns.observed.required)
        positions = POSITION_COLUMNS if columns.position is None else (columns.position,)
        optional = (*positions, *columns.observed.optional)
        rows = read_rows(lines, required, optional, delimiter)
        first = next(rows, None)
        if first is None:
            return iter(())
        self.has_measured = columns.observed.has_measured(first)
        position = _only(first, positions)
        return (self._row(row, position) for row in chain([first], rows))

    def _row(self, row: Row, position: str) -> DnaRow:
        return DnaRow(
            row.line_number,
            row.cell(self._columns.reference) if self._are_named else "",
            row.cell(position).strip(),
            _bases(row.cell(self._columns.ref)),
            _bases(row.cell(self._columns.alt)),
            self._columns.observed.of(row),
        )


def _of_vcf(lines: Iterable[bytes]) -> Iterator[DnaRow]:
    for row in read_vcf(lines):
        yield DnaRow(row.line_number, row.chromosome, row.position, row.ref, row.alt, Observed())


def _only(row: Row, names: tuple[str, ...]) -> str:
    found = [name for name in names if row.cells[name] is not None]
    if len(found) != 1:
        few_or_many = "no column" if not found else "more than one column of"
        raise CsvError(1, f"{few_or_many} {' or '.join(map(repr, names))}: name it")
    return found[0]


def _bases(cell: str) -> str:
    """What a cell says: nothing is also written `-`."""
    return "" if cell == "-" else cell
