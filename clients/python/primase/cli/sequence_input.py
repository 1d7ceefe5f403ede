"""The argument and the options of every command that reads sequences: FASTA or CSV."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, get_args

import click

from primase.cli.csv_rows import read_sequences
from primase.fasta import Record, parse_fasta

InputFormat = Literal["fasta", "csv"]


class Columns(NamedTuple):
    """Where a CSV has names and sequences."""

    id: str
    sequence: str


@dataclass(frozen=True)
class SequenceInput:
    """Sequences that are read as they are needed."""

    file: BinaryIO
    form: InputFormat
    columns: Columns

    def records(self) -> Iterator[Record]:
        """Read them. Raises InputError."""
        if self.form == "csv":
            return read_sequences(self.file, self.columns.id, self.columns.sequence)
        return parse_fasta(self.file)

    def count(self) -> int | None:
        """About how many there are, for a bar; None where there is none to show."""
        return count_lines(self.file, b">" if self.form == "fasta" else b"")


OPTIONS = (
    click.argument("file", metavar="INPUT", type=click.File("rb")),
    click.option(
        "--input-format",
        type=click.Choice(get_args(InputFormat)),
        help="What INPUT is. [default: csv where its name ends in .csv, else fasta]",
    ),
    click.option("--id-column", default="id", show_default=True, help="Names, in CSV."),
    click.option(
        "--sequence-column", default="sequence", show_default=True, help="Sequences, in CSV."
    ),
)


def reads_sequences(command: Callable[..., None]) -> Callable[..., None]:
    """Give `command` its `sequences` in place of the options that say where they are."""

    @wraps(command)
    def run(
        *args: Any,
        file: BinaryIO,
        input_format: InputFormat | None,
        id_column: str,
        sequence_column: str,
        **options: Any,
    ) -> None:
        columns = Columns(id_column, sequence_column)
        sequences = SequenceInput(file, input_format or format_of(file), columns)
        command(*args, sequences=sequences, **options)

    for option in reversed(OPTIONS):
        run = option(run)
    return run


def count_lines(file: BinaryIO, start: bytes = b"") -> int | None:
    """Lines that start so, where a bar is to be shown and the file can be read twice."""
    if not (sys.stderr.isatty() and file.seekable()):
        return None
    num_lines = sum(line.startswith(start) for line in file)
    file.seek(0)
    return num_lines


def format_of(file: BinaryIO) -> InputFormat:
    """What a file is, by its name."""
    name = str(getattr(file, "name", ""))  # what is no file has none
    return "csv" if Path(name).suffix.lower() == ".csv" else "fasta"
