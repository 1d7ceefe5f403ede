"""What a long command tells its user: a bar on a terminal, failures by name, and their number."""

import sys
from collections.abc import Callable, Iterable
from typing import BinaryIO, TypeVar

import click
from tqdm import tqdm

from primase.item_errors import problem_of
from primase.results import ItemResult

ValueT = TypeVar("ValueT")


def write_all(
    results: Iterable[ItemResult[ValueT]],
    write: Callable[[ItemResult[ValueT]], None],
    total: int | None,
) -> int:
    """Write every result, name those that failed on stderr; how many those were."""
    num_failed = 0
    with tqdm(results, total=total, unit=" sequences", file=sys.stderr, disable=None) as bar:
        for result in bar:
            write(result)
            if result.error is not None:
                num_failed += 1
                bar.write(f"{result.id}: {problem_of(result.error)}", file=sys.stderr)
    return num_failed


def count_records(fasta: BinaryIO) -> int | None:
    """Records of a file for the bar, where there is one and the file can be read twice."""
    if not (sys.stderr.isatty() and fasta.seekable()):
        return None
    num_records = sum(line.startswith(b">") for line in fasta)
    fasta.seek(0)
    return num_records


def exit_with(num_failed: int) -> None:
    """End the command: status 1 where any record failed."""
    if num_failed:
        click.echo(f"{num_failed} failed", err=True)
        click.get_current_context().exit(1)
