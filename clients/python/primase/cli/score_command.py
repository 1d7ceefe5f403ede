"""`primase score`."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

import click

from primase.cli.bulk_run import Finished
from primase.cli.connection import calls_server, model_option
from primase.cli.output_options import writes_file
from primase.cli.progress import Progress, exit_with
from primase.cli.sequence_input import SequenceInput, reads_sequences
from primase.cli.table import CellKind, JsonObject, Table, finished
from primase.cli.table_run import SUFFIXES, TableRun
from primase.client import Client
from primase.esm2_results import SequenceScore
from primase.fasta import Record
from primase.item_errors import problem_of
from primase.names import ScoreModeName
from primase.results import ItemResult

HELP = """Score the proteins of INPUT, FASTA or CSV (- is stdin), by their log-likelihood.

Logarithms are natural, probabilities are over the 20 standard residues, other letters are not
scored. Records that fail are named on stderr and leave the others alone; the exit status is then 1.
A file appears whole at the end; a run that ends before leaves OUTPUT.partial, from which the same
command goes on with --resume.

\b
out.tsv      one line per record: id, num_scored_residues, sum_log_likelihood,
             mean_log_likelihood, perplexity; per_residue with commas between the numbers
out.parquet  the same columns
out.jsonl    one object per record with the same names, or {"id", "error"}
"""

COLUMNS: dict[str, CellKind] = {
    "id": "text",
    "num_scored_residues": "integer",
    "sum_log_likelihood": "number",
    "mean_log_likelihood": "number",
    "perplexity": "number",
}


@click.command(help=HELP)
@reads_sequences
@model_option
@writes_file(SUFFIXES)
@click.option(
    "--mode",
    default="pseudo",
    show_default=True,
    type=click.Choice(get_args(ScoreModeName)),
    help="pseudo masks each residue in turn, one pass each; one_pass masks none.",
)
@click.option(
    "--per-residue", is_flag=True, help="Also the log-probability of each residue; 0 if not scored."
)
@calls_server
def score(
    client: Client,
    *,
    sequences: SequenceInput,
    model: str,
    output: Path | None,
    resume: bool,
    mode: ScoreModeName,
    per_residue: bool,
) -> None:
    """Write the scores of a file."""

    def work(records: Iterator[Record]) -> Iterable[Finished]:
        results = client.esm2(model).score(records, mode=mode, include_per_residue=per_residue)
        return map(_finished, results)

    options = {"model": model, "mode": mode, "per_residue": per_residue}
    table = _table(per_residue)
    progress = Progress(sequences.count(), "sequences")
    TableRun(table, output, options, resume).run(sequences.records(), work, progress)
    exit_with(progress.num_failed)


def _table(per_residue: bool) -> Table:
    columns = {**COLUMNS, "per_residue": "numbers"} if per_residue else COLUMNS

    def rows(score: JsonObject) -> Iterator[list[Any]]:
        yield [score[name] for name in columns]

    return Table(columns, rows)


def _finished(result: ItemResult[SequenceScore]) -> Finished:
    if result.error is not None:
        reason = problem_of(result.error)
        return finished(result.id, [{"id": result.id, "error": reason}], [(result.id, reason)])
    value = result.value
    line = {"id": result.id, **{name: getattr(value, name) for name in COLUMNS if name != "id"}}
    if value.per_residue is not None:
        line["per_residue"] = value.per_residue.tolist()
    return finished(result.id, [line])
