"""What a long command tells its user: a bar on a terminal, failures by name, and their number."""

import sys
from types import TracebackType
from typing import Self

import click
from tqdm import tqdm

from primase.cli.journal import Head


class Progress:
    """Says on stderr what is done and what failed.

    total: records of the input, where that is known.
    unit: what they are called.
    """

    def __init__(self, total: int | None, unit: str) -> None:
        self.num_failed = 0
        self._bar = tqdm(total=total, unit=f" {unit}", file=sys.stderr, disable=None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.close()

    def add(self, head: Head) -> None:
        """One record more, of this run or of an earlier one."""
        for name, reason in head["failures"]:
            self.num_failed += 1
            self._bar.write(f"{name}: {reason}", file=sys.stderr)
        self._bar.update(head.get("num_parts", 1))

    def add_many(self, num_records: int) -> None:
        """Some more of which nothing is to be said."""
        self._bar.update(num_records)


def exit_with(num_failed: int) -> None:
    """End the command: status 1 where any record failed."""
    if num_failed:
        click.echo(f"{num_failed} failed", err=True)
        click.get_current_context().exit(1)
