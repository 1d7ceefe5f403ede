"""What runs in a process of Ray: a chunk from the source, its shard on disk, a line about it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from primase.bulk.chunks import Chunk
from primase.bulk.shard import BulkTask, ShardEntry, make_shard
from primase.bulk.source import chunk_of
from primase.cli.connection import Connection
from primase.client import Client
from primase.exceptions import PrimaseError

_FIRST_WAIT_S = 0.5
_MAX_WAIT_S = 30.0

TaskOf = Callable[[Client], BulkTask]


@dataclass(frozen=True)
class Job:
    """All that a process needs to know; pickled.

    task_of: gives the task of a client.
    patience_s: how long a server that takes no work is asked again.
    """

    connection: Connection
    task_of: TaskOf
    folder: Path
    patience_s: float


def work(block: pa.Table, job: Job) -> dict[str, list[Any]]:
    """Make the shard of a block; what is known of it, or the problem that should end the run."""
    chunk = chunk_of(block)
    try:
        entry = _patiently(chunk, job)
    except (PrimaseError, OSError) as error:
        return {"problem": [str(error)], "entry": [None]}
    return {"problem": [""], "entry": [dict(entry.head())]}


def _patiently(chunk: Chunk, job: Job) -> ShardEntry:
    """Begin again where the server was away; chunks are small, and half a shard is none."""
    task = job.task_of(_client(job.connection))
    end = time.monotonic() + job.patience_s
    wait_s = _FIRST_WAIT_S
    while True:
        try:
            return make_shard(job.folder, chunk, task)
        except PrimaseError as error:
            told_s = error.retry_after_s or wait_s
            if not error.retryable or time.monotonic() + told_s > end:
                raise
        time.sleep(told_s)
        wait_s = min(2 * wait_s, _MAX_WAIT_S)


@lru_cache(maxsize=1)
def _client(connection: Connection) -> Client:
    """One for all chunks of a process."""
    return connection.connect()
