"""What `primase score` does with a model of each family."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from primase.cli.bulk_run import Finished, Work
from primase.cli.journal import Options
from primase.cli.likelihood_columns import LIKELIHOOD_COLUMNS
from primase.cli.table import CellKind, JsonObject, Table, finished
from primase.client import Client
from primase.esm2_client import Esm2
from primase.evo2_client import Evo2
from primase.fasta import Record
from primase.item_errors import problem_of
from primase.names import FamilyName, ScoreModeName, StrandName
from primase.progen2_client import ProGen2
from primase.progen2_results import ProteinScore
from primase.results import ItemResult

ScoreT = TypeVar("ScoreT")

LIKELIHOODS: dict[str, CellKind] = {
    "sum_log_likelihood": "number",
    "mean_log_likelihood": "number",
    "perplexity": "number",
}


@dataclass(frozen=True)
class ScoreTask:
    """How sequences are scored, and the table of their scores.

    options: what the scores depend on.
    """

    work: Work[Record]
    table: Table
    options: Options


def score_task(
    client: Client,
    *,
    family: FamilyName,
    model: str,
    mode: ScoreModeName,
    per_residue: bool,
    strand: StrandName,
    prepend_bos: bool,
    per_base: bool,
) -> ScoreTask:
    """Of a model of any family; the options of others are passed over."""
    if family == "esm2":
        return esm2_scores(client.esm2(model), mode, per_residue)
    if family == "evo2":
        return evo2_scores(client.evo2(model), strand, prepend_bos, per_base)
    return progen2_scores(client.progen2(model), per_residue)


def esm2_scores(esm2: Esm2, mode: ScoreModeName, per_residue: bool) -> ScoreTask:
    """Of ESM-2."""
    columns: dict[str, CellKind] = {"num_scored_residues": "integer", **LIKELIHOODS}
    if per_residue:
        columns["per_residue"] = "numbers"

    def work(records: Iterator[Record]) -> Iterable[Finished]:
        return _kept(
            esm2.score(records, mode=mode, include_per_residue=per_residue), _cells_of(columns)
        )

    options = {"model": esm2.model, "mode": mode, "per_residue": per_residue}
    return ScoreTask(work, _table(columns), options)


def evo2_scores(evo2: Evo2, strand: StrandName, prepend_bos: bool, per_base: bool) -> ScoreTask:
    """Of Evo 2."""
    columns: dict[str, CellKind] = {
        "num_scored_bases": "integer",
        "num_other_characters": "integer",
        **LIKELIHOODS,
    }
    if per_base:
        columns |= {"per_base": "numbers", "entropy": "numbers"}

    def work(records: Iterator[Record]) -> Iterable[Finished]:
        results = evo2.score(records, strand=strand, prepend_bos=prepend_bos, per_base=per_base)
        return _kept(results, _cells_of(columns))

    options = {
        "model": evo2.model,
        "strand": strand,
        "prepend_bos": prepend_bos,
        "per_base": per_base,
    }
    return ScoreTask(work, _table(columns), options)


def progen2_scores(progen2: ProGen2, per_residue: bool) -> ScoreTask:
    """Of ProGen2."""
    columns: dict[str, CellKind] = {"num_scored_residues": "integer", **LIKELIHOOD_COLUMNS}
    arrays = ("forward_per_residue", "reverse_per_residue") if per_residue else ()

    def cells(score: ProteinScore) -> JsonObject:
        values = () if score.per_residue is None else score.per_residue.tolist()
        numbers = {name: getattr(score.likelihood, name) for name in columns}
        return numbers | dict(zip(arrays, values, strict=True))

    def work(records: Iterator[Record]) -> Iterable[Finished]:
        return _kept(progen2.score(records, per_residue=per_residue), cells)

    options = {"model": progen2.model, "per_residue": per_residue}
    table = _table(columns | dict.fromkeys(arrays, "numbers"))
    return ScoreTask(work, table, options)


def _table(columns: dict[str, CellKind]) -> Table:
    def rows(score: JsonObject) -> Iterator[list[Any]]:
        yield [score["id"], *(score[name] for name in columns)]

    return Table({"id": "text", **columns}, rows)


def _cells_of(columns: dict[str, CellKind]) -> Callable[[Any], JsonObject]:
    """What stands in columns that are named as the fields of a score."""

    def cells(score: Any) -> JsonObject:
        found = {name: getattr(score, name) for name in columns}
        arrays = {name: found[name].tolist() for name in columns if columns[name] == "numbers"}
        return found | arrays

    return cells


def _kept(
    results: Iterable[ItemResult[ScoreT]], cells: Callable[[ScoreT], JsonObject]
) -> Iterator[Finished]:
    for result in results:
        if result.error is not None:
            reason = problem_of(result.error)
            line = {"id": result.id, "error": reason}
            yield finished(result.id, [line], [(result.id, reason)])
            continue
        yield finished(result.id, [{"id": result.id, **cells(result.value)}])
