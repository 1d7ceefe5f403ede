"""`primase score`."""

from functools import partial
from pathlib import Path
from typing import get_args

import click

from primase.cli.bulk_options import BulkOptions, runs_in_bulk
from primase.cli.connection import calls_server, model_option
from primase.cli.families import family_of, option_of
from primase.cli.output_options import writes_file
from primase.cli.progress import Progress, exit_with
from primase.cli.score_task import score_task
from primase.cli.sequence_input import SequenceInput, reads_sequences
from primase.cli.strands import evo2_strand_option
from primase.cli.table_run import SUFFIXES, TableRun
from primase.client import Client
from primase.names import ScoreModeName, StrandName

HELP = """Score the sequences of INPUT, FASTA or CSV (- is stdin), by their log-likelihood.

The model says whether they are proteins (ESM-2, ProGen2) or DNA (Evo 2). Logarithms are natural. Of
ESM-2, probabilities are over the 20 standard residues, and other letters are not scored. ProGen2
reads a protein from both ends, and gives the mean of both with each of them; its probabilities are
over its 25 letters. Of DNA, every letter is read as it is and scored given those before it: lower
case is not upper case, and --upper-case reads a soft-masked genome.

Records that fail are named on stderr and leave the others alone; the exit status is then 1. A file
appears whole at the end; a run that ends before leaves OUTPUT.partial, from which the same command
goes on with --resume.

\b
out.tsv      one line per record: id, num_scored_residues, sum_log_likelihood,
             mean_log_likelihood, perplexity; per_residue with commas between the numbers.
             Of DNA: num_scored_bases, num_other_characters (not A, C, G or T); per_base, entropy
             Of ProGen2: forward_ and reverse_sum_log_likelihood, residue_perplexity (of the
             mean), token_perplexity (over the whole vocabulary, the end of the protein counted);
             forward_per_residue, reverse_per_residue
out.parquet  the same columns
out.jsonl    one object per record with the same names, or {"id", "error"}

With --bulk out.parquet is a folder of such files, with `record` in front of their columns and
`error` behind them.
"""


@click.command(help=HELP)
@reads_sequences
@model_option
@runs_in_bulk
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
    ("esm2", "progen2"),
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
    bulk: BulkOptions | None,
) -> None:
    """Write the scores of a file."""
    family = family_of(client, model, ("esm2", "evo2", "progen2"))
    task_of = partial(
        score_task,
        family=family,
        model=model,
        mode=mode,
        per_residue=per_residue,
        strand=strand,
        prepend_bos=prepend_bos,
        per_base=per_base,
    )
    task = task_of(client)
    if bulk is not None:
        from primase.bulk import tasks

        work = partial(tasks.scores, task_of=task_of)
        bulk.run(sequences, output, task.options, work, resume=resume)
        return
    progress = Progress(sequences.count(), "sequences")
    run = TableRun(task.table, output, task.options, resume)
    run.run(sequences.records(), task.work, progress)
    exit_with(progress.num_failed)
