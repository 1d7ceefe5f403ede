"""The scores of queries of ESM-2."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

from primase.cli.bulk_run import Finished
from primase.cli.protein_variant_input import MeasuredQuery
from primase.cli.table import JsonObject, finished
from primase.cli.variant_outcomes import outcomes
from primase.esm2_results import VariantScores
from primase.item_errors import problem_of
from primase.results import ItemResult
from primase.sequences import VariantQuery

Call = Callable[[Iterable[VariantQuery]], Iterable[ItemResult[VariantScores]]]
Result = ItemResult[VariantScores]


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
    def again(indices: Sequence[int]) -> Result:
        variants = tuple(query.variants[index] for index in indices)
        (found,) = call([VariantQuery(query.sequence, variants, query.id)])
        return found

    lines, failures = [], []
    found = outcomes(len(query.variants), result, again)
    for variant, observed, outcome in zip(query.variants, query.observed, found, strict=True):
        line: dict[str, object] = {"id": query.id, "variant": variant}
        if isinstance(outcome, str):
            failures.append((f"{query.id} {variant}", outcome))
            lines.append({**line, "error": outcome})
        else:
            lines.append({**line, "score": outcome.score, **observed.known()})
    return finished(query.id, lines, failures, len(query.variants))
