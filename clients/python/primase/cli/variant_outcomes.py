"""The outcome of each variant of a query: some may be bad, or all of them too large to send."""

import re
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from primase.exceptions import PrimaseError, RequestTooLarge
from primase.item_errors import problem_of
from primase.results import ItemResult

ScoreT = TypeVar("ScoreT")
ScoreT_co = TypeVar("ScoreT_co", covariant=True)

_VARIANT_PATH = re.compile(r"items\[\d+\]\.variants\[(\d+)\]")


class Scores(Protocol[ScoreT_co]):
    """The scores of a query's variants, in order."""

    @property
    def scores(self) -> Sequence[ScoreT_co]:
        """One for each variant."""


def outcomes(
    num_variants: int,
    result: ItemResult[Scores[ScoreT]],
    again: Callable[[Sequence[int]], ItemResult[Scores[ScoreT]]],
) -> list[ScoreT | str]:
    """A score, or what is wrong, for each variant.

    Bad ones are left out and the rest sent `again`, by their numbers; what is too large for the
    server is sent in halves.
    """
    found: list[ScoreT | str] = [""] * num_variants
    pending = [(list(range(num_variants)), result)]
    while pending:
        indices, result = pending.pop()
        if result.error is None:
            for index, score in zip(indices, result.value.scores, strict=True):
                found[index] = score
            continue
        known, parts = _split(indices, result.error)
        for index, reason in known.items():
            found[index] = reason
        pending += ((part, again(part)) for part in parts if part)
    return found


def _split(indices: list[int], error: PrimaseError) -> tuple[dict[int, str], list[list[int]]]:
    """What is known to be wrong with some of these, and in which parts to send the rest."""
    if isinstance(error, RequestTooLarge) and len(indices) > 1:
        middle = len(indices) // 2
        return {}, [indices[middle:], indices[:middle]]
    paths = [(_VARIANT_PATH.match(v.field), v.description) for v in error.violations]
    bad = {indices[int(path[1])]: reason for path, reason in paths if path is not None}
    if not bad or len(bad) < len(paths):
        return dict.fromkeys(indices, problem_of(error)), []
    return bad, [[index for index in indices if index not in bad]]
