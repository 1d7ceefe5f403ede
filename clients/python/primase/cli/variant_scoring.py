"""The scores of queries: single variants may be bad, or all together too large for a server."""

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

from primase.cli.bulk_run import Finished
from primase.cli.table import JsonObject, finished
from primase.cli.variant_input import MeasuredQuery
from primase.esm2_results import VariantScores
from primase.exceptions import PrimaseError, RequestTooLarge
from primase.item_errors import problem_of
from primase.results import ItemResult
from primase.sequences import VariantQuery

Call = Callable[[Iterable[VariantQuery]], Iterable[ItemResult[VariantScores]]]
Result = ItemResult[VariantScores]

_VARIANT_PATH = re.compile(r"items\[\d+\]\.variants\[(\d+)\]")


def score_queries(call: Call, queries: Iterator[MeasuredQuery]) -> Iterator[Finished]:
    """The finished record of each query, in order."""
    waiting: deque[MeasuredQuery] = deque()

    def sent() -> Iterator[VariantQuery]:
        for query in queries:
            waiting.append(query)
            yield VariantQuery(query.sequence, query.variants, query.id)

    for result in call(sent()):
        query = waiting.popleft()
        yield _scored(call, query, result) if query.variants else _scanned(query, result)


def _scanned(query: MeasuredQuery, result: Result) -> Finished:
    if result.error is not None:
        reason = problem_of(result.error)
        return finished(query.id, [{"id": query.id, "error": reason}], [(query.id, reason)])
    return finished(query.id, list(_substitutions(query, result.value)))


def _substitutions(query: MeasuredQuery, value: VariantScores) -> Iterator[JsonObject]:
    if value.scan is None:
        return
    for number, (old, scores) in enumerate(zip(query.sequence, value.scan, strict=True), start=1):
        if old not in value.scan_residues:
            continue  # its scores are no numbers
        for new, score in zip(value.scan_residues, scores.tolist(), strict=True):
            if new != old:
                yield {"id": query.id, "variant": f"{old}{number}{new}", "score": score}


def _scored(call: Call, query: MeasuredQuery, result: Result) -> Finished:
    lines, failures = [], []
    outcomes = _outcomes(call, query, result)
    for variant, measured, outcome in zip(query.variants, query.measured, outcomes, strict=True):
        line: dict[str, object] = {"id": query.id, "variant": variant}
        if isinstance(outcome, str):
            failures.append((f"{query.id} {variant}", outcome))
            lines.append({**line, "error": outcome})
        else:
            lines.append({**line, "score": outcome, "measured": measured})
    return finished(query.id, lines, failures, len(query.variants))


def _outcomes(call: Call, query: MeasuredQuery, result: Result) -> list[float | str]:
    """A score, or what is wrong, for each variant: bad ones are left out and the rest sent again,
    and what is too large for the server is sent in halves.
    """
    outcomes: list[float | str] = [""] * len(query.variants)
    pending = [(list(range(len(query.variants))), result)]
    while pending:
        indices, result = pending.pop()
        if result.error is None:
            for index, scored in zip(indices, result.value.scores, strict=True):
                outcomes[index] = scored.score
            continue
        known, parts = _split(indices, result.error)
        for index, reason in known.items():
            outcomes[index] = reason
        pending += ((part, _again(call, query, part)) for part in parts if part)
    return outcomes


def _split(indices: list[int], error: PrimaseError) -> tuple[dict[int, str], list[list[int]]]:
    """What is known to be wrong with some of these, and in which parts to send the rest."""
    if isinstance(error, RequestTooLarge) and len(indices) > 1:
        middle = len(indices) // 2
        return {}, [indices[middle:], indices[:middle]]
    found = [(_VARIANT_PATH.match(v.field), v.description) for v in error.violations]
    bad = {indices[int(path[1])]: reason for path, reason in found if path is not None}
    if not bad or len(bad) < len(found):
        return dict.fromkeys(indices, problem_of(error)), []
    return bad, [[index for index in indices if index not in bad]]


def _again(call: Call, query: MeasuredQuery, indices: Sequence[int]) -> Result:
    variants = tuple(query.variants[index] for index in indices)
    (result,) = call([VariantQuery(query.sequence, variants, query.id)])
    return result
