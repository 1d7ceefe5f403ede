"""A bulk run: survey the input, let Ray Data stream it through the server, see that all is there.

FASTA ── FastaSource ──▶ chunks ── work, several at once ──▶ a line for each shard ──▶ journal
         one task        blocks                │                   here
                                               └─▶ OUTPUT/part-00000000.parquet, ...
"""

import logging
import os
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

# Nothing is told to anybody about this run. Ray reads these as it is imported.
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")

import ray
import ray.data
from ray.data import DataContext
from ray.exceptions import RayError, RayTaskError

from primase.bulk.chunks import survey
from primase.bulk.folder import ShardFolder, Total, total_of_earlier
from primase.bulk.shard import ShardEntry
from primase.bulk.source import FastaSource
from primase.bulk.work import Job, TaskOf, work
from primase.cli.bulk_options import BulkOptions
from primase.cli.connection import Connection
from primase.cli.journal import Options
from primase.cli.progress import Progress

# Chunks wait there on their way; Ray takes no less than about 75 MiB.
OBJECT_STORE_BYTES = 256 << 20


@dataclass(frozen=True)
class BulkRun:
    """What is done with a file.

    options: what the answers depend on.
    """

    source: Path
    upper_case: bool
    output: Path
    resume: bool
    options: Options
    task_of: TaskOf
    rows_per_record: int = 1

    def run(self, connection: Connection, how: BulkOptions) -> Total:
        """Do all of it. Raises InputError, JournalError and OSError; ClickException where the
        server ends it.
        """
        found = survey(self.source, how.chunk_records)
        options = {
            **self.options,
            "input": found.digest,
            "upper_case": self.upper_case,
            "bulk_records": how.chunk_records,
        }
        if self.resume and (total := total_of_earlier(self.output, options)) is not None:
            return total
        progress = Progress(found.num_records, "sequences")
        folder = ShardFolder(self.output, options, found.num_chunks, resume=self.resume)
        with folder, progress:
            progress.add_many(folder.num_records)
            try:
                self._fill(folder, connection, how, progress)
            except BaseException:
                if folder.num_records:
                    click.echo(
                        f"{folder.num_records} records are in {self.output}: "
                        "the same command goes on from there with --resume",
                        err=True,
                    )
                raise
            folder.finish(found.num_records, self.rows_per_record)
        return Total(folder.num_records, folder.num_failed)

    def _fill(
        self, folder: ShardFolder, connection: Connection, how: BulkOptions, progress: Progress
    ) -> None:
        if all(folder.done):
            return
        job = Job(connection, self.task_of, folder.path.absolute(), how.patience_s)
        source = FastaSource(
            self.source.absolute(), how.chunk_records, folder.done, upper_case=self.upper_case
        )
        num_workers = min(how.num_workers, folder.done.count(0))
        with _ray(how), closing(_answers(source, job, num_workers)) as answers:
            for answer in answers:
                if answer["problem"]:
                    raise click.ClickException(answer["problem"])
                entry = ShardEntry(**answer["entry"])
                folder.add(entry)
                progress.add_many(entry.num_records)


def _answers(
    source: FastaSource, job: Job, num_workers: int
) -> Generator[dict[str, Any], None, None]:
    """Rows of `work`, as they come."""
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    # A block leaves the reader as soon as it has a chunk.
    context.target_max_block_size = 1
    # Different shares of a CPU keep Ray Data from making one stage, and so one task, of both.
    chunks = ray.data.read_datasource(source, override_num_blocks=1, num_cpus=0.5, concurrency=1)
    lines = chunks.map_batches(
        work,
        batch_size=1,
        batch_format="pyarrow",
        fn_kwargs={"job": job},
        num_cpus=1,
        concurrency=num_workers,
    )
    for batch in lines.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        yield from batch.to_pylist()


@contextmanager
def _ray(how: BulkOptions) -> Iterator[None]:
    """Ray, here or elsewhere, without a word in the terminal."""
    logging.getLogger("ray").setLevel(logging.ERROR)
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if how.ray_address is None:
        quiet |= {
            "num_cpus": how.num_workers + 1,
            "object_store_memory": OBJECT_STORE_BYTES,
            "include_dashboard": False,
        }
    try:
        ray.init(address=how.ray_address or "local", **quiet)
    except Exception as error:
        # Ray raises nothing narrower.
        raise click.ClickException(f"Ray does not start: {error}") from error
    try:
        yield
    except RayTaskError:
        raise
    except RayError as error:
        raise click.ClickException(f"Ray ended: {error}") from error
    finally:
        ray.shutdown()
