"""`primase generate`."""

import sys
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import get_args

import click

from primase.cli.bulk_run import make_file, pour
from primase.cli.connection import calls_server, model_option
from primase.cli.families import family_of
from primase.cli.fasta_output import FastaSink, write_fasta
from primase.cli.generate_task import TABLE, GenerateTask
from primase.cli.journal import Journal
from primase.cli.output_options import writes_file
from primase.cli.progress import Progress, exit_with
from primase.cli.sequence_input import SequenceInput, may_read_sequences
from primase.cli.table_run import SUFFIXES, table_writer
from primase.client import Client
from primase.evo2_generation import DEFAULT_NUM_TOKENS, DEFAULT_SAMPLING
from primase.generation_options import Prompt, Sampling, each_prompt
from primase.names import DeterminismName

FASTA_SUFFIXES = (".fasta", ".fa")

HELP = """Continue DNA: each --prompt, or each record of INPUT, FASTA or CSV (- is stdin).

One sample of one prompt is written to stdout while it comes; all others when they are whole, in
order. A connection that breaks is gone on with, and gives the same bases. With a --seed the same
command gives the same bases each time; each prompt but the first has a seed of its own, made of it.

Prompts that fail are named on stderr and leave the others alone; the exit status is then 1. A file
appears whole at the end; a run that ends before leaves OUTPUT.partial, from which the same command
goes on with --resume.

\b
out.fasta    >id seed=SEED and what was made, in one line; of several samples >id/0, >id/1, ...
out.tsv      one line per sample: id, sample from 0, sequence, num_tokens,
             reason (length, stop_sequence), seed, mass_outside_alphabet
out.parquet  the same columns
out.jsonl    one object per sample with the same names, or {"id", "sample", "error"}
"""


@click.command(help=HELP)
@may_read_sequences
@click.option("--prompt", multiple=True, metavar="BASES", help="Repeat for more.")
@model_option
@writes_file((*FASTA_SUFFIXES, *SUFFIXES), on_stdout="FASTA")
@click.option(
    "--num-tokens",
    default=DEFAULT_NUM_TOKENS,
    show_default=True,
    type=click.IntRange(1),
    help="New ones per sample, one a base.",
)
@click.option(
    "--temperature",
    default=DEFAULT_SAMPLING.temperature,
    show_default=True,
    type=click.FloatRange(0, 100),
    help="0 always takes the most likely token.",
)
@click.option(
    "--top-k",
    default=DEFAULT_SAMPLING.top_k,
    show_default=True,
    type=click.IntRange(0),
    help="Draw from so many most likely tokens; 0 from all.",
)
@click.option(
    "--top-p",
    default=DEFAULT_SAMPLING.top_p,
    show_default=True,
    type=click.FloatRange(0, 1, min_open=True),
    help="Then from the most likely that have this probability together.",
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
    "--stop", multiple=True, metavar="BASES", help="End a sample behind this. Repeat for more."
)
@click.option("--alphabet", default="", help="Draw no other characters, such as ACGT.")
@click.option(
    "--determinism",
    type=click.Choice(get_args(DeterminismName)),
    help="Whether a seed gives the same however busy the server is. "
    "[default: batch_invariant with --seed, else best_effort]",
)
@click.option("--include-prompt", is_flag=True, help="Write the prompt before what was made.")
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
    temperature: float,
    top_k: int,
    top_p: float,
    seed: int | None,
    num_samples: int,
    stop: tuple[str, ...],
    alphabet: str,
    determinism: DeterminismName | None,
    include_prompt: bool,
) -> None:
    """Write what follows on prompts."""
    if (sequences is None) == (not prompt):
        raise click.UsageError("give either INPUT or --prompt")
    write = None if output is None else _writer(output, with_numbers=num_samples > 1)
    family_of(client, model, ("evo2",))
    sampling = Sampling(temperature, top_k, top_p, seed, determinism)
    how = {"num_tokens": num_tokens, "num_samples": num_samples, "alphabet": alphabet}
    task = GenerateTask(
        client.evo2(model), {**how, "sampling": sampling, "stop_sequences": stop}, include_prompt
    )
    given: Iterator[tuple[str, str]] = ((f"prompt{n}", text) for n, text in enumerate(prompt))
    inputs = each_prompt(given if sequences is None else sequences.records(), seed)
    if write is None and num_samples == 1:
        first = list(islice(inputs, 2))
        if len(first) == 1:
            _write_live(task, first[0])
            return
        inputs = chain(first, inputs)
    progress = Progress(len(prompt) if sequences is None else sequences.count(), "prompts")
    if output is None or write is None:
        with progress:
            sink = FastaSink(sys.stdout, with_numbers=num_samples > 1)
            pour(sink, inputs, task.work, progress)
    else:
        options = {
            "model": model,
            **how,
            **vars(sampling),
            "stop": list(stop),
            "include_prompt": include_prompt,
        }
        make_file(output, options, inputs, task.work, write, resume=resume, progress=progress)
    exit_with(progress.num_failed)


def _write_live(task: GenerateTask, prompt: Prompt) -> None:
    problem = task.write_live(prompt, sys.stdout)
    if problem:
        click.echo(f"{prompt.id}: {problem}", err=True)
    exit_with(1 if problem else 0)


def _writer(output: Path, *, with_numbers: bool) -> Callable[[Path, Journal], None]:
    if output.suffix in FASTA_SUFFIXES:
        return partial(write_fasta, with_numbers=with_numbers)
    write = table_writer(output)
    return lambda part, journal: write(part, journal, TABLE)
