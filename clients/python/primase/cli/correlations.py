"""How scores agree with what was measured, for each wild type."""

from array import array
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from primase.cli.journal import Head
from primase.cli.rank_correlation import spearman
from primase.cli.table import objects_of


class Agreement(NamedTuple):
    """Of one wild type. spearman: None where fewer than two different values are on either side."""

    id: str
    num_variants: int
    num_failed: int
    num_measured: int
    spearman: float | None


@dataclass
class _Pairs:
    num_variants: int = 0
    num_failed: int = 0
    scores: "array[float]" = field(default_factory=lambda: array("d"))
    measured: "array[float]" = field(default_factory=lambda: array("d"))


class Correlations:
    """Takes records of variants, and keeps 16 bytes of each that was measured."""

    def __init__(self) -> None:
        self._pairs: dict[str, _Pairs] = defaultdict(_Pairs)

    def append(self, head: Head, *body: bytes | memoryview) -> None:
        """Take one record."""
        pairs = self._pairs[head["id"]]
        for piece in body:
            for line in objects_of(piece):
                pairs.num_variants += 1
                if "error" in line:
                    pairs.num_failed += 1
                elif line["measured"] is not None:
                    pairs.scores.append(line["score"])
                    pairs.measured.append(line["measured"])

    def agreements(self) -> Iterator[Agreement]:
        """One for each wild type, in the order in which they came."""
        for id_, pairs in self._pairs.items():
            yield Agreement(
                id_,
                pairs.num_variants,
                pairs.num_failed,
                len(pairs.scores),
                spearman(pairs.scores, pairs.measured),
            )
