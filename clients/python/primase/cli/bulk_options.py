"""The options of every command that can work through a file in bulk."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from primase.cli.connection import Connection
from primase.cli.journal import Options
from primase.cli.progress import exit_with
from primase.cli.sequence_input import SequenceInput

if TYPE_CHECKING:
    from primase.bulk.work import TaskOf


@dataclass(frozen=True)
class BulkOptions:
    """How a bulk run is done.

    num_workers: chunks in progress at once.
    chunk_records: records of a chunk, at most.
    patience_s: how long a server that takes no work is asked again.
    ray_address: of a cluster; None starts Ray here.
    """

    num_workers: int
    chunk_records: int
    patience_s: float
    ray_address: str | None

    def run(
        self,
        sequences: SequenceInput,
        output: Path | None,
        options: Options,
        task_of: "TaskOf",
        *,
        resume: bool,
        rows_per_record: int = 1,
    ) -> None:
        """Do all of it, and end the command: status 1 where any record failed.

        options: what the answers depend on.
        task_of: can be sent to another process.
        """
        if output is None:
            raise click.UsageError("--bulk needs --output")
        source = sequences.fasta_path()
        from primase.bulk.run import BulkRun

        run = BulkRun(
            source, sequences.upper_case, output, resume, options, task_of, rows_per_record
        )
        exit_with(run.run(Connection.of_command(), self).num_failed)


OPTIONS = (
    click.option(
        "--bulk",
        is_flag=True,
        help="For files of any size: OUTPUT is a folder of parquet shards, each there as soon as "
        "it is whole, and all failures are in it. Needs primase[bulk].",
    ),
    click.option(
        "--bulk-workers",
        default=4,
        show_default=True,
        type=click.IntRange(1),
        help="Of --bulk: shards in progress at once.",
    ),
    click.option(
        "--bulk-records",
        default=512,
        show_default=True,
        type=click.IntRange(1),
        help="Of --bulk: records of a shard.",
    ),
    click.option(
        "--bulk-patience-s",
        default=300.0,
        show_default=True,
        type=click.FloatRange(0),
        help="Of --bulk: how long a server that takes no work is asked again.",
    ),
    click.option(
        "--ray-address",
        metavar="ADDRESS",
        help="Of --bulk: a Ray cluster, all of whose machines see INPUT and OUTPUT. [default: Ray "
        "is started here]",
    ),
)


def runs_in_bulk(command: Callable[..., None]) -> Callable[..., None]:
    """Give `command` its `bulk`, None without --bulk; stands above `writes_file`."""

    @wraps(command)
    def run(
        *args: Any,
        bulk: bool,
        bulk_workers: int,
        bulk_records: int,
        bulk_patience_s: float,
        ray_address: str | None,
        **options: Any,
    ) -> None:
        how = BulkOptions(bulk_workers, bulk_records, bulk_patience_s, ray_address)
        if bulk:
            _require_ray()
        else:
            _refuse_alone()
        command(*args, bulk=how if bulk else None, **options)

    for option in reversed(OPTIONS):
        run = option(run)
    return run


def _refuse_alone() -> None:
    context = click.get_current_context()
    for name in ("bulk_workers", "bulk_records", "bulk_patience_s", "ray_address"):
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--{name.replace('_', '-')} needs --bulk")


def _require_ray() -> None:
    if not all(map(find_spec, ("pyarrow", "ray"))):
        raise click.UsageError("--bulk needs Ray: pip install 'primase[bulk]'")
