"""The scores of groups of Evo 2."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

from primase.cli.bulk_run import Finished
from primase.cli.dna_variant_input import DnaGroup, PlacedRow
from primase.cli.table import finished
from primase.cli.variant_outcomes import outcomes
from primase.evo2_queries import DnaVariant, DnaVariantQuery
from primase.evo2_results import DnaVariantScore, DnaVariantScores
from primase.results import ItemResult

Call = Callable[[Iterable[DnaVariantQuery]], Iterable[ItemResult[DnaVariantScores]]]
Result = ItemResult[DnaVariantScores]


def score_groups(call: Call, groups: Iterator[DnaGroup]) -> Iterator[Finished]:
    """The finished record of each group, in order."""
    waiting: deque[DnaGroup] = deque()

    def sent() -> Iterator[DnaVariantQuery]:
        for group in groups:
            waiting.append(group)
            if good := _good(group):
                yield _query(group, good)

    for result in call(sent()):
        while not _good(waiting[0]):
            yield _finished(waiting.popleft(), [], "")
        group = waiting.popleft()
        yield _scored(call, group, result)
    for group in waiting:
        yield _finished(group, [], "")


def _scored(call: Call, group: DnaGroup, result: Result) -> Finished:
    good = _good(group)

    def again(indices: Sequence[int]) -> Result:
        (found,) = call([_query(group, [good[index] for index in indices])])
        recipes.append(found)
        return found

    recipes = [result]
    found = outcomes(len(good), result, again)
    recipe = next((one.value.recipe for one in recipes if one.error is None), "")
    return _finished(group, found, recipe)


def _finished(group: DnaGroup, found: Sequence[DnaVariantScore | str], recipe: str) -> Finished:
    left = iter(found)
    lines, failures = [], []
    for placed in group.rows:
        row = placed.row
        outcome = placed.problem or next(left)
        line: dict[str, object] = {
            "id": group.id,
            "position": int(row.position) if row.position.isdecimal() else row.position,
            "ref": row.ref,
            "alt": row.alt,
        }
        if isinstance(outcome, str):
            lines.append({**line, "line": row.line_number, "error": outcome})
            what = f"{row.position} {row.ref or '-'}>{row.alt or '-'}"
            failures.append((f"line {row.line_number}, {what}", outcome))
        else:
            scores = {name: getattr(outcome, name) for name in outcome.__dataclass_fields__}
            lines.append({**line, **scores, **row.observed.known(), "recipe": recipe})
    return finished(group.id, lines, failures, len(group.rows))


def _good(group: DnaGroup) -> list[PlacedRow]:
    return [row for row in group.rows if not row.problem]


def _query(group: DnaGroup, rows: Sequence[PlacedRow]) -> DnaVariantQuery:
    variants = tuple(DnaVariant(row.start, row.row.ref, row.row.alt) for row in rows)
    return DnaVariantQuery(group.reference, variants, id=group.id)
