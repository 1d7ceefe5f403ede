"""The folder that a bulk run fills with shards, and the journal that says which are there."""

import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import pyarrow.parquet as pq

from primase.bulk.shard import SCRATCH_PREFIX, ShardEntry, shard_path
from primase.cli.journal import Journal, JournalError, Options, partial_of, require_same
from primase.cli.whole_file import whole_file

# Readers of parquet pass over names that begin so.
MANIFEST = "_manifest.json"


class Total(NamedTuple):
    """Of a run that has ended."""

    num_records: int
    num_failed: int


def total_of_earlier(path: Path, options: Options) -> Total | None:
    """What a folder holds that is whole already; None where it is not.

    Raises JournalError where it was made of another input or with other options.
    """
    manifest = path / MANIFEST
    if partial_of(path).exists() or not manifest.exists():
        return None
    told = json.loads(manifest.read_text(encoding="utf-8"))
    require_same(manifest, told["options"], options)
    return Total(told["num_records"], told["num_failed"])


class ShardFolder:
    """Takes down which chunks are done. Only one process can have it open.

    While it is being made, `OUTPUT.partial` lies beside it; in the end `_manifest.json` lies in it.

    options: what the shards depend on; JSON.
    resume: go on with what an earlier run has left.

    Raises JournalError where the folder is there and is not to be gone on with, where another run
    has it open, or where it was made of another input or with other options.
    """

    def __init__(self, path: Path, options: Options, num_chunks: int, *, resume: bool) -> None:
        self.path = path
        self.num_records = self.num_failed = 0
        self._options = options
        self._done = bytearray(num_chunks)
        if path.exists() and any(path.iterdir()):
            if not resume:
                raise JournalError(f"{path} is there already: go on with --resume, or remove it")
            if not partial_of(path).exists():
                raise JournalError(f"{path} was not left by an earlier run: remove it")
        self._journal = Journal(path, options, resume=resume, durable=True)
        path.mkdir(exist_ok=True)
        self._remove_scratch()
        for head in self._journal.heads():
            self._take(ShardEntry(**head))

    @property
    def done(self) -> bytes:
        """A byte for each chunk, 1 where it is done."""
        return bytes(self._done)

    @property
    def journal_path(self) -> Path:
        """Where it is taken down what is done."""
        return self._journal.path

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._journal.__exit__(kind, error, traceback)
        self._remove_scratch()
        if not self.num_records:
            with suppress(OSError):
                self.path.rmdir()

    def add(self, entry: ShardEntry) -> None:
        """Take down a shard that is there."""
        self._journal.append(entry.head())
        self._take(entry)

    def finish(self, num_records: int, rows_per_record: int) -> None:
        """See that every record is there once, and say so in the manifest. Raises JournalError."""
        missing = self._done.count(0)
        num_rows = sum(self._shard_rows())
        if missing or (self.num_records, num_rows) != (num_records, num_records * rows_per_record):
            raise JournalError(
                f"{self.path} has {num_rows} rows of {self.num_records} records and lacks "
                f"{missing} shards; INPUT has {num_records} records"
            )
        told = {
            "options": self._options,
            "num_records": num_records,
            "num_failed": self.num_failed,
            "num_rows": num_rows,
            "num_shards": len(self._done),
        }
        with whole_file(self.path / MANIFEST) as part:
            part.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")

    def _take(self, entry: ShardEntry) -> None:
        path = shard_path(self.path, entry.number)
        # One that was made again, since its file was lost, is in the journal twice.
        if self._done[entry.number] or not path.exists():
            return
        if path.stat().st_size == entry.num_bytes:
            self._done[entry.number] = 1
            self.num_records += entry.num_records
            self.num_failed += entry.num_failed

    def _shard_rows(self) -> Iterator[int]:
        for number, is_done in enumerate(self._done):
            if is_done:
                yield int(pq.read_metadata(shard_path(self.path, number)).num_rows)

    def _remove_scratch(self) -> None:
        for scratch in self.path.glob(f"{SCRATCH_PREFIX}*"):
            shutil.rmtree(scratch, ignore_errors=True)
