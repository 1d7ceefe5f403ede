"""`primase score`."""

from pathlib import Path
from typing import get_args

import click

from primase.cli.connection import calls_server, model_option
from primase.cli.families import family_of, option_of
from primase.cli.output_options import writes_file
from primase.cli.progress import Progress, exit_with
from primase.cli.score_task import dna_scores, protein_scores
from primase.cli.sequence_input import SequenceInput, reads_sequences
from primase.cli.strands import evo2_strand_option
from primase.cli.table_run import SUFFIXES, TableRun
from primase.client import Client
from primase.names import ScoreModeName, StrandName

HELP = """Score the sequences of INPUT, FASTA or CSV (- is stdin), by their log-likelihood.

The model says whether they are proteins (ESM-2) or DNA (Evo 2). Logarithms are natural. Of
proteins, probabilities are over the 20 standard residues, and other letters are not scored. Of DNA,
every letter is read as it is and scored given those before it: lower case is not upper case, and
--upper-case reads a soft-masked genome.

Records that fail are named on stderr and leave the others alone; the exit status is then 1. A file
appears whole at the end; a run that ends before leaves OUTPUT.partial, from which the same command
goes on with --resume.

\b
out.tsv      one line per record: id, num_scored_residues, sum_log_likelihood,
             mean_log_likelihood, perplexity; per_residue with commas between the numbers.
             Of DNA: num_scored_bases, num_other_characters (not A, C, G or T); per_base, entropy
out.parquet  the same columns
out.jsonl    one object per record with the same names, or {"id", "error"}
"""


@click.command(help=HELP)
@reads_sequences
@model_option
@writes_file(SUFFIXES)
@option_of(
    "esm2",
    "--mode",
    default="pseudo",
    show_default=True,
    type=click.Choice(get_args(ScoreModeName)),
    help="pseudo masks each residue in turn, one pass each; one_pass masks none.",
)
@option_of(
    "esm2",
    "--per-residue",
    is_flag=True,
    help="Also the log-probability of each residue; 0 if not scored.",
)
@evo2_strand_option
@option_of(
    "evo2",
    "--prepend-bos",
    is_flag=True,
    help="Read a start token first, so that the first base is scored too.",
)
@option_of(
    "evo2",
    "--per-base",
    is_flag=True,
    help="Also the log-probability of each base, 0 if not scored, and the entropy, in nats.",
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
    strand: StrandName,
    prepend_bos: bool,
    per_base: bool,
) -> None:
    """Write the scores of a file."""
    if family_of(client, model, ("esm2", "evo2")) == "esm2":
        task = protein_scores(client.esm2(model), mode, per_residue)
    else:
        task = dna_scores(client.evo2(model), strand, prepend_bos, per_base)
    progress = Progress(sequences.count(), "sequences")
    run = TableRun(task.table, output, task.options, resume)
    run.run(sequences.records(), task.work, progress)
    exit_with(progress.num_failed)
