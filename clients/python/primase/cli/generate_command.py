"""`primase generate`."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

import click

from primase import evo2_generation, progen2_generation
from primase.cli.bulk_options import BulkOptions, runs_in_bulk
from primase.cli.connection import calls_server, model_option
from primase.cli.families import TITLES, family_of, option_of
from primase.cli.generate_family import generate_task
from primase.cli.generate_run import SUFFIXES, GenerateRun
from primase.cli.generate_task import How
from primase.cli.output_options import writes_file
from primase.cli.progress import exit_with
from primase.cli.sequence_input import SequenceInput, may_read_sequences
from primase.client import Client
from primase.generation_options import Sampling, each_prompt
from primase.names import DeterminismName, DirectionName, FamilyName

DEFAULTS: dict[FamilyName, Sampling] = {
    "evo2": evo2_generation.DEFAULT_SAMPLING,
    "progen2": progen2_generation.DEFAULT_SAMPLING,
}

HELP = """Continue DNA (Evo 2) or proteins (ProGen2), as the model says: each --prompt, or each
record of INPUT, FASTA or CSV (- is stdin).

Of DNA, what was made is written, of proteins the whole from N to C with its context, which may be
empty (--prompt ''). One sample of one prompt is written to stdout while it comes; all others when
they are whole, in order, and so are proteins with their likelihood or from C to N. A connection
that breaks is gone on with, and gives the same. With a --seed the same command gives the same each
time; each prompt but the first has a seed of its own, made of it.

Prompts that fail are named on stderr and leave the others alone; the exit status is then 1. A file
appears whole at the end; a run that ends before leaves OUTPUT.partial, from which the same command
goes on with --resume.

\b
out.fasta    >id seed=SEED and the sequence in one line; of several samples >id/0, >id/1, ...
             With --likelihood also sum_log_likelihood=... mean_log_likelihood=...
out.tsv      one line per sample: id, sample from 0, sequence, num_tokens,
             reason (length, stop_sequence), seed, mass_outside_alphabet
             Of proteins: num_new_residues for num_tokens; reason may be terminal, and terminal
             says which (n, c); low_complexity_fraction; with --likelihood the columns of score
out.parquet  the same columns
out.jsonl    one object per sample with the same names, or {"id", "sample", "error"}

With --bulk out.parquet is a folder of such files, with `record` in front of their columns and
`error` behind them.
"""


def _defaults(name: str) -> str:
    told = (f"{TITLES[family]} {getattr(its, name)}" for family, its in DEFAULTS.items())
    return f"[default: {', '.join(told)}]"


@click.command(help=HELP)
@may_read_sequences
@click.option("--prompt", multiple=True, metavar="TEXT", help="Repeat for more.")
@model_option
@runs_in_bulk
@writes_file(SUFFIXES, on_stdout="FASTA")
@option_of(
    "evo2",
    "--num-tokens",
    default=evo2_generation.DEFAULT_NUM_TOKENS,
    show_default=True,
    type=click.IntRange(1),
    help="New ones per sample, one a base.",
)
@option_of(
    "progen2",
    "--max-new-residues",
    default=progen2_generation.DEFAULT_NUM_RESIDUES,
    show_default=True,
    type=click.IntRange(1),
    help="At most so many new ones per sample; the model may end it before.",
)
@option_of(
    "progen2",
    "--direction",
    default="n_to_c",
    show_default=True,
    type=click.Choice(get_args(DirectionName)),
    help="From which end: c_to_n makes what stands before the context.",
)
@option_of(
    "progen2",
    "--likelihood",
    is_flag=True,
    help="Also score each protein, context included, in both directions.",
)
@click.option(
    "--temperature",
    type=click.FloatRange(0, 100),
    help=f"0 always takes the most likely token. {_defaults('temperature')}",
)
@click.option(
    "--top-k",
    type=click.IntRange(0),
    help=f"Draw from so many most likely tokens; 0 from all. {_defaults('top_k')}",
)
@click.option(
    "--top-p",
    type=click.FloatRange(0, 1, min_open=True),
    help="Then from the most likely that have this probability together. " + _defaults("top_p"),
)
@click.option("--seed", type=click.IntRange(0, 2**64 - 1), help="Names the draws. [default: any]")
@click.option(
    "--num-samples",
    default=1,
    show_default=True,
    type=click.IntRange(1, 64),
    help="Of each prompt.",
)
@click.option(
    "--stop", multiple=True, metavar="TEXT", help="End a sample behind this. Repeat for more."
)
@click.option("--alphabet", default="", help="Draw no other letters, such as ACGT.")
@click.option(
    "--determinism",
    type=click.Choice(get_args(DeterminismName)),
    help="Whether a seed gives the same however busy the server is. "
    "[default: batch_invariant with --seed, else best_effort]",
)
@option_of("evo2", "--include-prompt", is_flag=True, help="Write the prompt before what was made.")
@calls_server
def generate(
    client: Client,
    *,
    sequences: SequenceInput | None,
    prompt: tuple[str, ...],
    model: str,
    output: Path | None,
    resume: bool,
    num_tokens: int,
    max_new_residues: int,
    direction: DirectionName,
    likelihood: bool,
    temperature: float | None,
    top_k: int | None,
    top_p: float | None,
    seed: int | None,
    num_samples: int,
    stop: tuple[str, ...],
    alphabet: str,
    determinism: DeterminismName | None,
    include_prompt: bool,
    bulk: BulkOptions | None,
) -> None:
    """Write what follows on prompts."""
    if (sequences is None) == (not prompt):
        raise click.UsageError("give either INPUT or --prompt")
    family = family_of(client, model, ("evo2", "progen2"))
    drawn: dict[str, Any] = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    drawn |= {"seed": seed, "determinism": determinism}
    given = {name: value for name, value in drawn.items() if value is not None}
    task_of = partial(
        generate_task,
        family=family,
        model=model,
        how=How(replace(DEFAULTS[family], **given), num_samples, stop, alphabet),
        num_tokens=num_tokens,
        include_prompt=include_prompt,
        max_new_residues=max_new_residues,
        direction=direction,
        likelihood=likelihood,
    )
    task = task_of(client)
    if bulk is not None:
        if sequences is None:
            raise click.UsageError("--bulk needs INPUT")
        from primase.bulk import tasks

        work = partial(tasks.samples, task_of=task_of, seed=seed)
        bulk.run(sequences, output, task.options, work, resume=resume, rows_per_record=num_samples)
        return
    run = GenerateRun(output, resume=resume, with_numbers=num_samples > 1)
    texts: Iterator[tuple[str, str]] = ((f"prompt{n}", text) for n, text in enumerate(prompt))
    prompts = each_prompt(texts if sequences is None else sequences.records(), seed)
    exit_with(run.run(task, prompts, len(prompt) if sequences is None else sequences.count()))
