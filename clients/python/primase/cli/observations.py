"""What is known of a variant: a number that was measured, a label that was given."""

from dataclasses import dataclass
from math import isnan
from typing import NamedTuple

from primase.cli.csv_rows import CsvError, Row
from primase.cli.table import CellKind


class Observed(NamedTuple):
    """Of one variant; None where nothing is known."""

    measured: float | None = None
    label: str | None = None

    def known(self) -> dict[str, float | str]:
        """What there is, by name."""
        return {name: value for name, value in self._asdict().items() if value is not None}


@dataclass(frozen=True)
class ObservedColumns:
    """Where a file of variants has them.

    score: None takes `score` where the file has it.
    label: None is none.
    positive: labels to be told from all others.
    """

    score: str | None = None
    label: str | None = None
    positive: frozenset[str] = frozenset()

    @property
    def required(self) -> tuple[str, ...]:
        """What the file must have."""
        return tuple(name for name in (self.score, self.label) if name is not None)

    @property
    def optional(self) -> tuple[str, ...]:
        """What it may have."""
        return () if self.score is not None else ("score",)

    def table_columns(self, *, has_measured: bool) -> dict[str, CellKind]:
        """How they stand beside the scores."""
        measured: dict[str, CellKind] = {"measured": "number"} if has_measured else {}
        return {**measured, "label": "text"} if self.label is not None else measured

    def has_measured(self, row: Row) -> bool:
        """The file has the column of what was measured."""
        return row.cells[self.score or "score"] is not None

    def of(self, row: Row) -> Observed:
        """What a row says. Raises CsvError."""
        label = None if self.label is None else row.cell(self.label) or None
        return Observed(_number(row, row.cell(self.score or "score")), label)


def _number(row: Row, cell: str) -> float | None:
    try:
        number = float(cell or "nan")
    except ValueError as error:
        raise CsvError(row.line_number, f"{cell!r} is no number") from error
    return None if isnan(number) else number
