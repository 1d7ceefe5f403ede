"""How scores agree with what is known of the variants, for each wild type or reference."""

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from primase.cli.auroc import Interval, auroc, bootstrap_interval
from primase.cli.journal import Body, Head
from primase.cli.rank_correlation import spearman
from primase.cli.table import JsonObject, objects_of


@dataclass
class Agreement:
    """Of one wild type or reference, whose `id` it has.

    recipe: how its variants were scored, where the lines say so.
    scores, measured: of the variants of which something was measured.
    positives, negatives: scores of the variants with a label.
    """

    id: str
    num_variants: int = 0
    num_failed: int = 0
    recipe: str | None = None
    scores: "array[float]" = field(default_factory=lambda: array("d"))
    measured: "array[float]" = field(default_factory=lambda: array("d"))
    positives: "array[float]" = field(default_factory=lambda: array("d"))
    negatives: "array[float]" = field(default_factory=lambda: array("d"))

    @property
    def spearman(self) -> float | None:
        """Rank correlation; None where fewer than two different values are on either side."""
        return spearman(self.scores, self.measured)

    @property
    def auroc(self) -> float | None:
        """How well low scores tell the positives; None where either has no variant."""
        return auroc(*self._surprises())

    @property
    def auroc_interval(self) -> Interval | None:
        """Where it lies with a chance of 95 %."""
        return bootstrap_interval(*self._surprises())

    def _surprises(self) -> tuple[list[float], list[float]]:
        # A variant that the model finds unlikely is taken for a positive.
        return [-score for score in self.positives], [-score for score in self.negatives]


class Agreements:
    """Takes records of variants, and keeps 16 bytes of each measured one, 8 of each labelled one.

    score: the name of what is compared.
    has_measured: the lines may hold what was measured.
    positive: labels to be told from all others; empty where the lines hold none.
    """

    def __init__(self, score: str, *, has_measured: bool, positive: frozenset[str]) -> None:
        self._score = score
        self._has_measured = has_measured
        self._positive = positive
        self._found: dict[str, Agreement] = {}

    def append(self, head: Head, body: Body) -> None:
        """Take one record."""
        its = self._found.setdefault(head["id"], Agreement(head["id"]))
        for piece in body:
            for line in objects_of(piece):
                its.num_variants += 1
                if "error" in line:
                    its.num_failed += 1
                else:
                    self._take(its, line)

    def reports(self) -> Iterator[Mapping[str, Any]]:
        """All numbers of each wild type or reference, in the order in which they came."""
        for its in self._found.values():
            report: dict[str, Any] = {
                "id": its.id,
                "num_variants": its.num_variants,
                "num_failed": its.num_failed,
            }
            if its.recipe is not None:
                report["recipe"] = its.recipe
            if self._has_measured:
                report |= {"num_measured": len(its.scores), "spearman": its.spearman}
            if self._positive:
                report |= {
                    "positive": sorted(self._positive),
                    "num_positive": len(its.positives),
                    "num_negative": len(its.negatives),
                    "auroc": its.auroc,
                    "auroc_interval": its.auroc_interval,
                }
            yield report

    def _take(self, its: Agreement, line: JsonObject) -> None:
        score = line[self._score]
        its.recipe = line.get("recipe")
        if "measured" in line:
            its.scores.append(score)
            its.measured.append(line["measured"])
        if "label" in line:
            (its.positives if line["label"] in self._positive else its.negatives).append(score)


def agreements_of(score: str, *, has_measured: bool, positive: frozenset[str]) -> Agreements | None:
    """Those of a file; None where it says nothing of its variants."""
    if not (has_measured or positive):
        return None
    return Agreements(score, has_measured=has_measured, positive=positive)


def sentences(report: Mapping[str, Any]) -> Iterator[str]:
    """What a user is told of one report."""
    if "spearman" in report:
        found = _rounded(report["spearman"])
        yield f"{report['id']}: Spearman {found} over {report['num_measured']} variants"
    if "auroc" in report:
        found = _rounded(report["auroc"])
        if report["auroc_interval"] is not None:
            low, high = report["auroc_interval"]
            found += f" (95 %: {low:.3f} to {high:.3f})"
        labels = " or ".join(report["positive"])
        yield (
            f"{report['id']}: AUROC {found} of low scores for {labels}, "
            f"{report['num_positive']} variants against {report['num_negative']}"
        )


def _rounded(number: float | None) -> str:
    return "not defined" if number is None else f"{number:.3f}"
