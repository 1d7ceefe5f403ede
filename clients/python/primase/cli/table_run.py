"""From many inputs to one table, in a file or on stdout."""

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from primase.cli.bulk_run import InputT, Sink, Work, make_file, pour
from primase.cli.journal import Body, Head, Journal, Options
from primase.cli.output_options import require_pyarrow
from primase.cli.progress import Progress
from primase.cli.table import Table, TsvSink, write_json_lines, write_tsv

SUFFIXES = (".tsv", ".jsonl", ".parquet")


class NoSink:
    """Takes records and does nothing."""

    def append(self, head: Head, body: Body) -> None:
        """Forget one."""


@dataclass(frozen=True)
class TableRun:
    """Where a table goes, and what it depends on.

    output: a file, made whole at the end; None is stdout, written as records come.
    options: what the records depend on.
    observer: is given every record too, also those of an earlier run.
    """

    table: Table
    output: Path | None
    options: Options
    resume: bool
    observer: Sink = NoSink()  # noqa: RUF009  # it has no state

    def run(self, inputs: Iterable[InputT], work: Work[InputT], progress: Progress) -> None:
        """Do all of it."""
        if self.output is None:
            with progress:
                sink = _Both(TsvSink(sys.stdout, self.table), self.observer)
                pour(sink, inputs, work, progress)
            return
        write_table = table_writer(self.output)

        def write(part: Path, journal: Journal) -> None:
            for head, body in journal.entries():
                self.observer.append(head, (body,))
            write_table(part, journal, self.table)

        make_file(
            self.output,
            self.options,
            inputs,
            work,
            write,
            resume=self.resume,
            progress=progress,
        )


class _Both:
    def __init__(self, *sinks: Sink) -> None:
        self._sinks = sinks

    def append(self, head: Head, body: Body) -> None:
        for sink in self._sinks:
            sink.append(head, body)


def table_writer(output: Path) -> Callable[[Path, Journal, Table], None]:
    """What writes a table into a file of that suffix."""
    if output.suffix == ".jsonl":
        return write_json_lines
    if output.suffix != ".parquet":
        return write_tsv
    require_pyarrow()
    from primase.cli.table_parquet import write_parquet

    return write_parquet
