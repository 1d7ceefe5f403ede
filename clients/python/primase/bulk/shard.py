"""One chunk answered and written: a parquet file that is there whole or not at all."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import pyarrow as pa

from primase.bulk.chunks import Chunk
from primase.cli.array_record import array_names
from primase.cli.bulk_run import Finished
from primase.cli.journal import Journal, StoredEntry
from primase.cli.parquet_file import Row, write_rows
from primase.exceptions import BrokenAnswer
from primase.fasta import Record

SCRATCH_PREFIX = ".making-"


class RowForm(Protocol):
    """What the rows of a record look like; what failed has one too, with its `error`."""

    @property
    def schema(self) -> pa.Schema:
        """The columns."""

    def rows(self, entry: StoredEntry) -> Iterable[Row]:
        """Of a record."""


@dataclass(frozen=True)
class BulkTask:
    """What is done with records.

    work: one finished record for each, in order; the number is that of the first, from 0.
    array_names: what arrays each has, where its body is arrays.
    """

    work: Callable[[Sequence[Record], int], Iterable[Finished]]
    form: RowForm
    array_names: frozenset[str] = frozenset()


@dataclass(frozen=True)
class ShardEntry:
    """What is known of a shard.

    num_bytes: of its file.
    """

    number: int
    num_records: int
    num_failed: int
    num_bytes: int

    def head(self) -> Mapping[str, Any]:
        """As a journal has it."""
        return vars(self)


def shard_path(folder: Path, number: int) -> Path:
    """Of a chunk."""
    return folder / f"part-{number:08}.parquet"


def make_shard(folder: Path, chunk: Chunk, task: BulkTask) -> ShardEntry:
    """Do the work of a chunk and write it, with the number of each record in front.

    Answers lie on disk until all are there, beside the shard, so that memory holds some rows only.
    Raises PrimaseError and OSError.
    """
    path = shard_path(folder, chunk.number)
    with TemporaryDirectory(prefix=SCRATCH_PREFIX, dir=folder) as scratch:
        made = Path(scratch) / path.name
        with Journal(made, {}, resume=False) as journal:
            num_failed = 0
            for head, body in task.work(chunk.records, chunk.first_record):
                _require_arrays(head, task.array_names)
                journal.append(head, body)
                num_failed += bool(head["failures"])
            if journal.num_entries != len(chunk.records):
                raise BrokenAnswer(f"{journal.num_entries} answers to {len(chunk.records)} records")
            schema = pa.schema([("record", pa.int64()), *task.form.schema])
            write_rows(made, schema, _rows(journal, chunk.first_record, task.form))
        _sync(made)
        num_bytes = made.stat().st_size
        made.replace(path)
    _sync(folder)
    return ShardEntry(chunk.number, len(chunk.records), num_failed, num_bytes)


def _rows(journal: Journal, first_record: int, form: RowForm) -> Iterator[Row]:
    for number, entry in enumerate(journal.stored(), start=first_record):
        for row in form.rows(entry):
            yield {**row, "record": number}


def _require_arrays(head: Mapping[str, Any], names: frozenset[str]) -> None:
    if not head["failures"] and names != set(array_names(head)):
        raise BrokenAnswer(f"the answer has {', '.join(array_names(head))}, not what was asked for")


def _sync(path: Path) -> None:
    """What is written there outlives the machine. A folder: its names."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
