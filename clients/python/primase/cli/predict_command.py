"""`primase predict`."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from primase.cli.bulk_run import Finished
from primase.cli.connection import calls_server, model_option
from primase.cli.output_options import writes_file
from primase.cli.progress import Progress, exit_with
from primase.cli.sequence_input import SequenceInput, reads_sequences
from primase.cli.table import JsonObject, Table, finished
from primase.cli.table_run import SUFFIXES, TableRun
from primase.client import Client
from primase.esm2_results import MaskPrediction, Prediction
from primase.fasta import Record
from primase.item_errors import problem_of
from primase.results import ItemResult

HELP = """Predict the residues behind every <mask> in the proteins of INPUT (- is stdin).

INPUT is FASTA or CSV. Records that fail are named on stderr and leave the others alone; the exit
status is then 1. A file appears whole at the end; a run that ends before leaves OUTPUT.partial,
from which the same command goes on with --resume.

\b
out.tsv      one line per candidate: id, position from 0, rank from 1, residue, probability
out.parquet  the same columns
out.jsonl    one object per record: {"id", "masks": [{"position", "candidates":
             [{"residue", "probability"}]}]}, or {"id", "error"}
"""


@click.command(help=HELP)
@reads_sequences
@model_option
@writes_file(SUFFIXES)
@click.option(
    "--candidates",
    default=5,
    show_default=True,
    type=click.IntRange(1, 20),
    help="Most likely residues to name per mask.",
)
@calls_server
def predict(
    client: Client,
    *,
    sequences: SequenceInput,
    model: str,
    output: Path | None,
    resume: bool,
    candidates: int,
) -> None:
    """Write the predictions of a file."""

    def work(records: Iterator[Record]) -> Iterable[Finished]:
        return map(_finished, client.esm2(model).predict(records, num_candidates=candidates))

    options = {"model": model, "candidates": candidates}
    progress = Progress(sequences.count(), "sequences")
    TableRun(TABLE, output, options, resume).run(sequences.records(), work, progress)
    exit_with(progress.num_failed)


def _finished(result: ItemResult[Prediction]) -> Finished:
    if result.error is not None:
        reason = problem_of(result.error)
        return finished(result.id, [{"id": result.id, "error": reason}], [(result.id, reason)])
    return finished(result.id, [{"id": result.id, "masks": list(map(_mask, result.value.masks))}])


def _mask(mask: MaskPrediction) -> dict[str, object]:
    candidates = [{"residue": c.residue, "probability": c.probability} for c in mask.candidates]
    return {"position": mask.position, "candidates": candidates}


def _rows(prediction: JsonObject) -> Iterator[tuple[Any, ...]]:
    for mask in prediction["masks"]:
        for rank, candidate in enumerate(mask["candidates"], start=1):
            place = (prediction["id"], mask["position"], rank)
            yield *place, candidate["residue"], candidate["probability"]


TABLE = Table(
    {
        "id": "text",
        "position": "integer",
        "rank": "integer",
        "residue": "text",
        "probability": "number",
    },
    _rows,
)
