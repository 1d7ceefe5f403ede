"""What `primase variants` is to score, of whatever family, and what is made of it."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

import click

from primase.cli.agreements import Agreements, sentences
from primase.cli.bulk_run import InputT, Work
from primase.cli.journal import Options
from primase.cli.progress import Progress, exit_with
from primase.cli.table import CellKind, JsonObject, Table
from primase.cli.table_run import NoSink, TableRun
from primase.cli.whole_file import whole_file


@dataclass(frozen=True)
class VariantTask(Generic[InputT]):
    """Queries, how they are scored, and the table of their scores.

    options: what the scores depend on.
    total: about how many units there are, for a bar.
    agreements: where something is known of the variants.
    references: what a report calls those that variants belong to.
    """

    queries: Iterable[InputT]
    work: Work[InputT]
    table: Table
    options: Options
    total: int | None
    unit: str
    references: str
    agreements: Agreements | None = None

    def run(self, output: Path | None, report: Path | None, *, resume: bool) -> None:
        """Score all of them, tell how the scores agree with what is known, and end the command.

        report: a JSON file of that.
        """
        if report is not None and self.agreements is None:
            raise click.UsageError("--report needs what was measured of the variants, or labels")
        progress = Progress(self.total, self.unit)
        run = TableRun(self.table, output, self.options, resume, self.agreements or NoSink())
        run.run(self.queries, self.work, progress)
        if self.agreements is not None:
            self._tell(list(self.agreements.reports()), report)
        exit_with(progress.num_failed)

    def _tell(self, reports: list[Mapping[str, Any]], path: Path | None) -> None:
        for report in reports:
            for sentence in sentences(report):
                click.echo(sentence, err=True)
        if path is not None:
            whole = {**self.options, self.references: reports}
            with whole_file(path) as part:
                part.write_text(json.dumps(whole, indent=2) + "\n")


def table_of(columns: Mapping[str, CellKind]) -> Table:
    """One row for each object, with these of its entries; what it lacks is empty."""

    def rows(line: JsonObject) -> Iterator[list[Any]]:
        yield [line.get(name) for name in columns]

    return Table(columns, rows)
