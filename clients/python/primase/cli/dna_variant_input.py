"""Variants of DNA on the references that they belong to, in groups that go to a server together."""

from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from itertools import groupby
from typing import NamedTuple

from primase.cli.dna_variant_rows import DnaRow

# A group is what a run that was killed has to do again, and of what one bad variant makes a second
# request; windows that two variants share are read once within it.
MAX_GROUP_VARIANTS = 128
MAX_GROUP_SPAN_BASES = 65_536


class PlacedRow(NamedTuple):
    """A variant and where it stands.

    start: index of its first base in the group's reference; -1 where there is a problem.
    problem: empty where there is none.
    """

    row: DnaRow
    start: int
    problem: str = ""


class DnaGroup(NamedTuple):
    """Variants that follow each other in the file, and as much of their reference as they need."""

    id: str
    reference: str
    rows: tuple[PlacedRow, ...]


class Placement:
    """Finds the place of each row.

    references: by name; one alone is that of every row.
    first_position: that of a reference's first base, as the file counts.

    Rows whose reference, position or bases do not fit, and rows that are there twice, have a
    problem. A digest of every row is kept, about 100 bytes, to know it again.
    """

    def __init__(self, references: Mapping[str, str], first_position: int) -> None:
        self._references = references
        self._first_position = first_position
        self._lines: dict[bytes, int] = {}
        self._other_name: str | None = None

    def place(self, row: DnaRow) -> tuple[str, PlacedRow]:
        """The name of its reference, and the row in its place there."""
        name = self._name(row)
        start = self._start(row)
        return name, PlacedRow(row, start, self._problem(name, row, start))

    def _name(self, row: DnaRow) -> str:
        if len(self._references) > 1 or row.reference in self._references:
            return row.reference
        (only,) = self._references
        return only

    def _start(self, row: DnaRow) -> int:
        try:
            return int(row.position) - self._first_position
        except ValueError:
            return -1

    def _problem(self, name: str, row: DnaRow, start: int) -> str:
        if name not in self._references:
            return f"INPUT has no reference named {name!r}"
        if self._is_elsewhere(row):
            return f"on {row.reference!r}, and those before it were on {self._other_name!r}"
        if not row.position.isdecimal():
            return f"{row.position!r} is no position"
        reference = self._references[name]
        if not (start >= 0 and start + len(row.ref) <= len(reference)):
            last = self._first_position + len(reference) - 1
            return f"not inside the reference, which has positions {self._first_position} to {last}"
        if not (row.ref or row.alt):
            return "neither ref nor alt"
        if row.alt.startswith(("<", "*", ".")) or "[" in row.alt or "]" in row.alt:
            return f"{row.alt!r} names no bases"
        found = reference[start : start + len(row.ref)]
        if found != row.ref:
            hint = ", and --upper-case reads it" if found.upper() == row.ref else ""
            return f"the reference has {found!r} there, not {row.ref!r}{hint}"
        return self._repetition(name, row)

    def _is_elsewhere(self, row: DnaRow) -> bool:
        """A name that INPUT lacks is taken for its one reference, but not two such names."""
        if not row.reference or row.reference in self._references:
            return False
        if self._other_name is None:
            self._other_name = row.reference
        return row.reference != self._other_name

    def _repetition(self, name: str, row: DnaRow) -> str:
        said = "\t".join((name, str(int(row.position)), row.ref, row.alt)).encode()
        key = blake2b(said, digest_size=12).digest()
        line = self._lines.setdefault(key, row.line_number)
        return f"the same as line {line}" if line != row.line_number else ""


def groups(
    rows: Iterable[DnaRow],
    references: Mapping[str, str],
    first_position: int,
    window_bases: int,
) -> Iterator[DnaGroup]:
    """All rows in order. Each group has the bases that windows of `window_bases` can reach."""
    placement = Placement(references, first_position)
    for name, placed in groupby(map(placement.place, rows), lambda pair: pair[0]):
        for group in _nearby(row for _, row in placed):
            yield _group(name, references.get(name, ""), group, window_bases)


def _nearby(rows: Iterable[PlacedRow]) -> Iterator[list[PlacedRow]]:
    group: list[PlacedRow] = []
    starts: list[int] = []
    for row in rows:
        if row.problem:
            is_full = len(group) >= MAX_GROUP_VARIANTS
        else:
            lowest, highest = min((row.start, *starts)), max((row.start, *starts))
            is_full = highest - lowest > MAX_GROUP_SPAN_BASES or (
                len(group) >= MAX_GROUP_VARIANTS and [row.start] != starts[-1:]
            )
        if group and is_full:
            yield group
            group, starts = [], []
        group.append(row)
        if not row.problem:
            starts.append(row.start)
    if group:
        yield group


def _group(name: str, reference: str, rows: list[PlacedRow], window_bases: int) -> DnaGroup:
    good = [row for row in rows if not row.problem]
    if not good:
        return DnaGroup(name, "", tuple(rows))
    first = max(0, min(row.start for row in good) - window_bases)
    last = max(row.start + len(row.row.ref) for row in good) + window_bases
    placed = (row if row.problem else row._replace(start=row.start - first) for row in rows)
    return DnaGroup(name, reference[first:last], tuple(placed))
