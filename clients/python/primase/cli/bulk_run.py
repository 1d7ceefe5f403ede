"""From many inputs to one output, in a way that a later run can go on with."""

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import click

from primase.cli.journal import Body, Head, Journal, JournalError, Options
from primase.cli.progress import Progress
from primase.cli.whole_file import whole_file

InputT = TypeVar("InputT", bound=tuple[Any, ...])


class Finished(NamedTuple):
    """One record that is done.

    head: JSON. `id`, `failures` as pairs of a name and a reason, and whatever the output needs.
    body: its numbers or lines.
    """

    head: dict[str, Any]
    body: Body = ()


class Sink(Protocol):
    """Takes records in order."""

    def append(self, head: Head, body: Body) -> None:
        """Add one."""


Work = Callable[[Iterator[InputT]], Iterable[Finished]]
"""One finished record for each input, in order."""


@contextmanager
def journal_of(output: Path, options: Options, *, resume: bool) -> Iterator[Journal]:
    """The journal of `output`; who breaks off is told how to go on."""
    with Journal(output, options, resume=resume) as journal:
        try:
            yield journal
        except BaseException:
            if journal.num_entries:
                click.echo(
                    f"{journal.num_entries} records are in {journal.path}: "
                    "the same command goes on from there with --resume",
                    err=True,
                )
            raise


def make_file(
    output: Path,
    options: Options,
    inputs: Iterable[InputT],
    work: Work[InputT],
    write: Callable[[Path, Journal], None],
    *,
    resume: bool,
    progress: Progress,
) -> None:
    """Make the whole output, by way of its journal.

    options: what the records depend on.
    write: makes a file of all records.
    """
    with journal_of(output, options, resume=resume) as journal, progress:
        fill(journal, inputs, work, progress)
        with whole_file(output) as part:
            write(part, journal)


def fill(
    journal: Journal, inputs: Iterable[InputT], work: Work[InputT], progress: Progress
) -> None:
    """Bring the journal to the end of the inputs, passing over those that it has.

    Raises JournalError where those were others.
    """
    watched = _Watched(inputs)
    for number, head in enumerate(journal.heads(), start=1):
        if watched.skip() != head["fingerprint"]:
            raise JournalError(f"record {number} of the input is not that of {journal.path}")
        progress.add(head)
    for head, body in work(watched):
        journal.append({**head, "fingerprint": watched.fingerprint()}, body)
        progress.add(head)


def pour(sink: Sink, inputs: Iterable[InputT], work: Work[InputT], progress: Progress) -> None:
    """Write every record as it comes, with nothing kept."""
    for head, body in work(iter(inputs)):
        sink.append(head, body)
        progress.add(head)


class _Watched(Generic[InputT]):
    """Hands inputs on, and keeps the fingerprint of each until it is asked for."""

    def __init__(self, inputs: Iterable[InputT]) -> None:
        self._inputs = iter(inputs)
        self._fingerprints: deque[str] = deque()

    def __iter__(self) -> Iterator[InputT]:
        return self

    def __next__(self) -> InputT:
        given = next(self._inputs)
        packed = json.dumps(given).encode()
        self._fingerprints.append(blake2b(packed, digest_size=16).hexdigest())
        return given

    def skip(self) -> str:
        """The fingerprint of the next input, which is handed to nobody; empty at the end."""
        return self.fingerprint() if next(self, None) is not None else ""

    def fingerprint(self) -> str:
        """That of the oldest input not asked for yet."""
        return self._fingerprints.popleft()
