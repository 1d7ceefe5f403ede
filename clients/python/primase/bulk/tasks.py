"""What each command does with the records of a chunk, as one process of Ray does it."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from primase.bulk.shard import BulkTask
from primase.cli.array_parquet import RecordRows
from primase.cli.bulk_run import Finished
from primase.cli.encode_task import EncodeTask
from primase.cli.generate_task import GenerateTask
from primase.cli.score_task import ScoreTask
from primase.cli.table_parquet import TableRows
from primase.client import Client
from primase.fasta import Record
from primase.generation_options import Prompt, seed_of


def encodings(client: Client, *, task: EncodeTask, names: tuple[str, ...]) -> BulkTask:
    """names: of the arrays of each."""

    def work(records: Sequence[Record], first_record: int) -> Iterable[Finished]:
        return task.work(client, iter(records))

    return BulkTask(work, RecordRows(names, "num_residues"), frozenset(names))


def scores(client: Client, *, task_of: Callable[[Client], ScoreTask]) -> BulkTask:
    """A row for each record."""
    task = task_of(client)

    def work(records: Sequence[Record], first_record: int) -> Iterable[Finished]:
        return task.work(iter(records))

    return BulkTask(work, TableRows(task.table, with_errors=True))


def samples(
    client: Client, *, task_of: Callable[[Client], GenerateTask[Any]], seed: int | None
) -> BulkTask:
    """A row for each sample. A prompt has the seed that it has in the whole input, so that it
    draws alike however that is cut and whoever draws it.
    """
    task = task_of(client)

    def work(records: Sequence[Record], first_record: int) -> Iterable[Finished]:
        return task.work(
            Prompt(record.sequence, record.id, seed_of(seed, number))
            for number, record in enumerate(records, start=first_record)
        )

    return BulkTask(work, TableRows(task.table, with_errors=True))
