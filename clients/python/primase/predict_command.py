"""`primase predict`."""

import sys
from pathlib import Path
from typing import BinaryIO

import click

from primase.client import Client
from primase.connection import calls_server
from primase.fasta import parse_fasta
from primase.prediction_files import PredictionJsonLines, PredictionTsv
from primase.progress import count_records, exit_with, write_all
from primase.whole_file import whole_file

HELP = """Predict the residues behind every <mask> in the proteins of FASTA (- is stdin).

Records that fail are named on stderr and leave the others alone; the exit status is then 1. A file
appears whole at the end.

\b
out.tsv      one line per candidate: id, position from 0, rank from 1, residue, probability
out.jsonl    one object per record: {"id", "masks": [{"position", "candidates":
             [{"residue", "probability"}]}]}, or {"id", "error"}
"""


@click.command(help=HELP)
@click.argument("fasta", type=click.File("rb"))
@click.option("--model", required=True, envvar="PRIMASE_MODEL", show_envvar=True)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Ends in .tsv or .jsonl. Without it, TSV on stdout.",
)
@click.option(
    "--candidates",
    default=5,
    show_default=True,
    type=click.IntRange(1, 20),
    help="Most likely residues to name per mask.",
)
@calls_server
def predict(
    client: Client, *, fasta: BinaryIO, model: str, output: Path | None, candidates: int
) -> None:
    """Write the predictions of a FASTA file."""
    if output is not None and output.suffix not in (".tsv", ".jsonl"):
        raise click.UsageError(f"{output.name!r} ends in neither .tsv nor .jsonl")
    total = count_records(fasta)
    results = client.esm2(model).predict(parse_fasta(fasta), num_candidates=candidates)
    if output is None:
        num_failed = write_all(results, PredictionTsv(sys.stdout).write, total)
    else:
        make_file = PredictionTsv if output.suffix == ".tsv" else PredictionJsonLines
        with whole_file(output) as part, part.open("w", encoding="utf-8") as file:
            num_failed = write_all(results, make_file(file).write, total)
    exit_with(num_failed)
