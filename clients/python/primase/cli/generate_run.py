"""From prompts to a file of their samples, or to stdout."""

import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

import click

from primase.cli.bulk_run import make_file, pour
from primase.cli.fasta_output import FastaSink, write_fasta
from primase.cli.generate_task import GenerateTask
from primase.cli.journal import Journal
from primase.cli.progress import Progress
from primase.cli.table import Table
from primase.cli.table_run import SUFFIXES as TABLE_SUFFIXES
from primase.cli.table_run import table_writer
from primase.generation_options import Prompt

FASTA_SUFFIXES = (".fasta", ".fa")
SUFFIXES = (*FASTA_SUFFIXES, *TABLE_SUFFIXES)


class GenerateRun:
    """Where samples go.

    output: a file, made whole at the end; None is stdout, written as samples come.
    with_numbers: there are several of a prompt, and their names say which is which.
    """

    def __init__(self, output: Path | None, *, resume: bool, with_numbers: bool) -> None:
        self._output = output
        self._write = None if output is None else _writer(output, with_numbers=with_numbers)
        self._resume = resume
        self._with_numbers = with_numbers

    def run(
        self, task: GenerateTask[Any], prompts: Iterator[Prompt], num_prompts: int | None
    ) -> int:
        """Do all of it; how many prompts have failed."""
        inputs: Iterable[Prompt] = prompts
        if self._output is None and task.can_write_live and not self._with_numbers:
            first = list(islice(prompts, 2))
            if len(first) == 1:
                return _write_live(task, first[0])
            inputs = chain(first, prompts)
        progress = Progress(num_prompts, "prompts")
        if self._output is None or self._write is None:
            with progress:
                sink = FastaSink(sys.stdout, with_numbers=self._with_numbers)
                pour(sink, inputs, task.work, progress)
        else:
            write, table = self._write, task.table
            make_file(
                self._output,
                task.options,
                inputs,
                task.work,
                lambda part, journal: write(part, journal, table),
                resume=self._resume,
                progress=progress,
            )
        return progress.num_failed


def _write_live(task: GenerateTask[Any], prompt: Prompt) -> int:
    problem = task.write_live(prompt, sys.stdout)
    if problem:
        click.echo(f"{prompt.id}: {problem}", err=True)
    return 1 if problem else 0


def _writer(output: Path, *, with_numbers: bool) -> Callable[[Path, Journal, Table], None]:
    if output.suffix not in FASTA_SUFFIXES:
        return table_writer(output)

    def write(part: Path, journal: Journal, table: Table) -> None:
        write_fasta(part, journal, with_numbers=with_numbers)

    return write
