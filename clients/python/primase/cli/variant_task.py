"""What `primase variants` is to score, and what is made of it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import click

from primase.cli.correlations import Correlations
from primase.cli.sequence_input import SequenceInput, count_lines
from primase.cli.table import CellKind, JsonObject, Table
from primase.cli.variant_input import MeasuredQuery, VariantColumns, VariantInput

COLUMNS: dict[str, CellKind] = {"id": "text", "variant": "text", "score": "number"}


@dataclass(frozen=True)
class VariantTask:
    """Queries and the table of their scores.

    total: about how many units there are, for a bar.
    correlations: where something was measured.
    """

    queries: Iterable[MeasuredQuery]
    table: Table
    total: int | None
    unit: str
    correlations: Correlations | None = None


def scan_of(wild_types: SequenceInput | None) -> VariantTask:
    """Every single substitution of each wild type."""
    if wild_types is None:
        raise click.UsageError("--scan needs INPUT")
    queries = (MeasuredQuery(*record) for record in wild_types.records())
    return VariantTask(queries, _table(COLUMNS), wild_types.count(), "sequences")


def variants_of(
    variants: BinaryIO, columns: VariantColumns, wild_types: SequenceInput | None
) -> VariantTask:
    """The variants of a CSV. Raises CsvError."""
    total = count_lines(variants)
    known = None if wild_types is None else _by_name(wild_types)
    given = VariantInput(variants, columns, known)
    if not given.has_measured:
        return VariantTask(given.queries(), _table(COLUMNS), total, "variants")
    table = _table({**COLUMNS, "measured": "number"})
    return VariantTask(given.queries(), table, total, "variants", Correlations())


def _by_name(wild_types: SequenceInput) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for name, sequence in wild_types.records():
        if name in found:
            raise click.UsageError(f"two wild types are named {name!r}")
        found[name] = sequence
    if not found:
        raise click.UsageError("INPUT has no wild type")
    return found


def _table(columns: Mapping[str, CellKind]) -> Table:
    def rows(line: JsonObject) -> Iterator[list[Any]]:
        yield [line[name] for name in columns]

    return Table(columns, rows)
