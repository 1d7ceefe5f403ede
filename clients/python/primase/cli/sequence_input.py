"""The argument and the options of every command that reads sequences: FASTA or CSV."""

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, get_args

import click

from primase.cli.csv_rows import read_sequences
from primase.cli.input_file import InputFile, suffix_of
from primase.fasta import Record, parse_fasta

InputFormat = Literal["fasta", "csv"]


class Columns(NamedTuple):
    """Where a CSV has names and sequences."""

    id: str
    sequence: str


@dataclass(frozen=True)
class SequenceInput:
    """Sequences that are read as they are needed.

    upper_case: read small letters as large ones.
    """

    file: BinaryIO
    form: InputFormat
    columns: Columns
    upper_case: bool

    def records(self) -> Iterator[Record]:
        """Read them. Raises InputError."""
        for id_, sequence in self._records():
            yield Record(id_, sequence.upper() if self.upper_case else sequence)

    def by_name(self, noun: str) -> Mapping[str, str]:
        """All of them. UsageError where two have one name, or there are none."""
        found: dict[str, str] = {}
        for name, sequence in self.records():
            if name in found:
                raise click.UsageError(f"two {noun}s are named {name!r}")
            found[name] = sequence
        if not found:
            raise click.UsageError(f"INPUT has no {noun}")
        return found

    def count(self) -> int | None:
        """About how many there are, for a bar; None where there is none to show."""
        return count_lines(self.file, b">" if self.form == "fasta" else b"")

    def fasta_path(self) -> Path:
        """Where they are, for who reads them again. UsageError where that is no FASTA file."""
        path = Path(str(getattr(self.file, "name", "")))
        if self.form != "fasta" or not path.is_file():
            raise click.UsageError("--bulk reads a FASTA file, plain or packed by gzip")
        return path

    def _records(self) -> Iterator[Record]:
        if self.form == "csv":
            return read_sequences(self.file, self.columns.id, self.columns.sequence)
        return parse_fasta(self.file)


upper_case_option = click.option(
    "--upper-case", is_flag=True, help="Read small letters as large ones, as of a masked genome."
)

OPTIONS = (
    click.option(
        "--input-format",
        type=click.Choice(get_args(InputFormat)),
        help="What INPUT is. [default: csv where its name ends in .csv, else fasta]",
    ),
    click.option("--id-column", default="id", show_default=True, help="Names, in CSV."),
    click.option(
        "--sequence-column", default="sequence", show_default=True, help="Sequences, in CSV."
    ),
    upper_case_option,
)


def reads_sequences(command: Callable[..., None]) -> Callable[..., None]:
    """Give `command` its `sequences` in place of the options that say where they are."""
    return click.argument("file", metavar="INPUT", type=InputFile())(_with_sequences(command))


def may_read_sequences(command: Callable[..., None]) -> Callable[..., None]:
    """The same, except that INPUT can be left out: `sequences` is None then."""
    argument = click.argument("file", metavar="[INPUT]", type=InputFile(), required=False)
    return argument(_with_sequences(command))


def _with_sequences(command: Callable[..., None]) -> Callable[..., None]:
    @wraps(command)
    def run(
        *args: Any,
        file: BinaryIO | None,
        input_format: InputFormat | None,
        id_column: str,
        sequence_column: str,
        upper_case: bool,
        **options: Any,
    ) -> None:
        sequences = None
        if file is not None:
            columns = Columns(id_column, sequence_column)
            sequences = SequenceInput(file, input_format or format_of(file), columns, upper_case)
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
    return "csv" if suffix_of(file) == ".csv" else "fasta"
