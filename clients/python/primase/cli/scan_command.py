"""`primase scan`."""

from collections import deque
from collections.abc import Iterable, Iterator
from math import isnan
from pathlib import Path
from typing import Any, NamedTuple, get_args

import click
import numpy as np

from primase.cli.bulk_run import Finished
from primase.cli.connection import calls_server, model_option
from primase.cli.dna_variant_task import DEFAULT_WINDOW_BASES
from primase.cli.families import family_of
from primase.cli.output_options import writes_file
from primase.cli.progress import Progress, exit_with
from primase.cli.sequence_input import SequenceInput, reads_sequences
from primase.cli.strands import strand_option
from primase.cli.table import CellKind, JsonObject, finished
from primase.cli.table_run import SUFFIXES, TableRun
from primase.cli.variant_task import table_of
from primase.client import Client
from primase.evo2_queries import ScanQuery
from primase.evo2_results import Scan
from primase.fasta import Record
from primase.item_errors import problem_of
from primase.names import ScanModeName, StrandName
from primase.results import ItemResult

HELP = """Score every substitution of every base of a region of the DNA of INPUT (- is stdin).

INPUT is FASTA or CSV; the region is the same in all of its records. A score is the change of the
sum of log-likelihoods, below 0 is less likely. exact reads the window once with each substitution;
one_pass reads it once and compares what may stand at each base, blind to what comes behind it.

Records that fail are named on stderr and leave the others alone; the exit status is then 1. A file
appears whole at the end; a run that ends before leaves OUTPUT.partial, from which the same command
goes on with --resume.

\b
out.tsv      one line per base: id, position, base, the scores of A, C, G and T (0 for the base
             itself), mean_delta and min_delta over the three others, recipe; empty where nothing
             is known, as of the very first base by one_pass
out.parquet  the same columns
out.jsonl    one object per base with the same names, or {"id", "error"}
"""

BASES = "ACGT"
COLUMNS: dict[str, CellKind] = {
    "id": "text",
    "position": "integer",
    "base": "text",
    **dict.fromkeys(BASES, "number"),
    "mean_delta": "number",
    "min_delta": "number",
    "recipe": "text",
}


class Region(NamedTuple):
    """A region, and as much of its reference as its window can reach.

    start, end: in that part.
    """

    id: str
    reference: str
    start: int
    end: int


@click.command(help=HELP)
@reads_sequences
@model_option
@writes_file(SUFFIXES)
@click.option("--start", type=int, help="First base of the region. [default: that of INPUT]")
@click.option("--end", type=int, help="The base after the last. [default: the end of INPUT]")
@click.option(
    "--offset", type=int, default=0, show_default=True, help="Position of the first base of INPUT."
)
@click.option(
    "--mode",
    default="exact",
    show_default=True,
    type=click.Choice(get_args(ScanModeName)),
    help="3 reads a base and one more, or one read.",
)
@click.option(
    "--window-bases",
    type=click.IntRange(2, 1_048_576),
    default=DEFAULT_WINDOW_BASES,
    show_default=True,
    help="Bases read, centred on the region; never fewer than it has.",
)
@strand_option
@calls_server
def scan(
    client: Client,
    *,
    sequences: SequenceInput,
    model: str,
    output: Path | None,
    resume: bool,
    start: int | None,
    end: int | None,
    offset: int,
    mode: ScanModeName,
    window_bases: int,
    strand: StrandName,
) -> None:
    """Write the scores of every substitution."""
    family_of(client, model, ("evo2",))
    first = 0 if start is None else start - offset
    last = None if end is None else end - offset
    if first < 0 or (last is not None and last <= first):
        raise click.UsageError("the region has no base, or begins before INPUT does")

    def work(records: Iterator[Record]) -> Iterable[Finished]:
        waiting: deque[tuple[Region, int]] = deque()

        def queries() -> Iterator[ScanQuery]:
            for record in records:
                region = _region(record, first, last, window_bases)
                waiting.append((region, first + offset))
                yield ScanQuery(region.reference, region.start, region.end, region.id)

        results = client.evo2(model).scan(
            queries(), mode=mode, window_bases=window_bases, strand=strand
        )
        return (_finished(*waiting.popleft(), result) for result in results)

    options: dict[str, Any] = {
        "model": model,
        "start": start,
        "end": end,
        "offset": offset,
        "mode": mode,
        "window_bases": window_bases,
        "strand": strand,
    }
    progress = Progress(sequences.count(), "sequences")
    run = TableRun(table_of(COLUMNS), output, options, resume)
    run.run(sequences.records(), work, progress)
    exit_with(progress.num_failed)


def _region(record: Record, start: int, end: int | None, window_bases: int) -> Region:
    end = len(record.sequence) if end is None else end
    if not start < end <= len(record.sequence):
        return Region(*record, start, end)  # for the server to say what is wrong
    skipped = max(0, start - window_bases)
    return Region(
        record.id, record.sequence[skipped : end + window_bases], start - skipped, end - skipped
    )


def _finished(region: Region, position: int, result: ItemResult[Scan]) -> Finished:
    if result.error is not None:
        reason = problem_of(result.error)
        line = {"id": result.id, "error": reason}
        return finished(result.id, [line], [(result.id, reason)])
    return finished(result.id, list(_lines(region, position, result.value)))


def _lines(region: Region, position: int, value: Scan) -> Iterator[JsonObject]:
    bases = region.reference[region.start : region.end]
    numbers = np.column_stack([value.deltas, value.mean_delta, value.min_delta])
    for number, (base, row) in enumerate(zip(bases, numbers.tolist(), strict=True)):
        cells = (None if isnan(cell) else cell for cell in row)
        yield {
            "id": region.id,
            "position": position + number,
            "base": base,
            **dict(zip((*BASES, "mean_delta", "min_delta"), cells, strict=True)),
            "recipe": value.recipe,
        }
