"""`primase forward`."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import get_args

import click

from primase.cli import layer_record
from primase.cli.bulk_run import Finished, make_file
from primase.cli.comma_lists import comma_list
from primase.cli.connection import calls_server, model_option
from primase.cli.families import family_of
from primase.cli.journal import Journal
from primase.cli.npz_file import write_npz
from primase.cli.output_options import require_pyarrow, writes_file
from primase.cli.progress import Progress, exit_with
from primase.cli.sequence_input import SequenceInput, reads_sequences
from primase.cli.strands import strand_option
from primase.cli.vector_tsv import write_tsv
from primase.client import Client
from primase.fasta import Record
from primase.names import LayerDataTypeName, LogitColumnsName, PoolingName, StrandName

HELP = """Read the DNA of INPUT, FASTA or CSV (- is stdin), and keep what the layers of Evo 2 hold.

Letters are read as they are, and lower case is not upper case: --upper-case reads a soft-masked
genome. Rows are written as they come, so sequences of any length take the same memory. Records that
fail are named on stderr and leave the others alone; the exit status is then 1. The output appears
whole at the end; a run that ends before leaves OUTPUT.partial, from which the same command goes on
with --resume.

\b
out.npz      ids, errors         [records]; errors is empty where all went well
             blocks.3            [records, width], pooled; NaN where the record failed
             blocks.3/0          [bases, width], or [windows, width], of record 0
out.parquet  pooled, one row per record: id, error (null where all went well),
             num_other_characters, and each layer as a list of float32;
             else one row per base or window: id, error, row, and each layer as such a list
out.tsv      one line per vector: id, layer, its numbers; pooled only
"""

VECTORS = ("mean", "last", "first")


def _name(entry: str) -> str:
    if not entry:
        raise ValueError("a layer has no name")
    return entry


@click.command(help=HELP)
@reads_sequences
@model_option
@writes_file((".npz", ".parquet", ".tsv"), required=True)
@click.option(
    "--layers",
    required=True,
    callback=comma_list(_name),
    metavar="LAYER,...",
    help="Names such as blocks.3, blocks.3.mlp.l3, norm or unembed.",
)
@click.option(
    "--pooling",
    default="none",
    show_default=True,
    type=click.Choice(get_args(PoolingName)),
    help="One vector of all positions, one for each window, or none of it.",
)
@click.option(
    "--window-bases", type=click.IntRange(1), default=None, help="Of --pooling window: its bases."
)
@strand_option
@click.option(
    "--logit-columns",
    default="bases",
    show_default=True,
    type=click.Choice(get_args(LogitColumnsName)),
    help="Of unembed: A, C, G and T, or all 512.",
)
@click.option(
    "--dtype",
    default="float32",
    show_default=True,
    type=click.Choice(get_args(LayerDataTypeName)),
    help="Numbers on the wire; files hold float32.",
)
@calls_server
def forward(
    client: Client,
    *,
    sequences: SequenceInput,
    model: str,
    output: Path,
    resume: bool,
    layers: list[str],
    pooling: PoolingName,
    window_bases: int | None,
    strand: StrandName,
    logit_columns: LogitColumnsName,
    dtype: LayerDataTypeName,
) -> None:
    """Write the layers of a file."""
    if (pooling == "window") != (window_bases is not None):
        raise click.UsageError("--pooling window and --window-bases go together")
    write = _writer(output, pooling)
    family_of(client, model, ("evo2",))
    how = {
        "layers": layers,
        "pooling": pooling,
        "window_bases": window_bases or 0,
        "strand": strand,
        "logit_columns": logit_columns,
        "dtype": dtype,
    }

    def work(records: Iterator[Record]) -> Iterable[Finished]:
        parts = client.evo2(model).forward_rows(
            records,
            layers=layers,
            pooling=pooling,
            strand=strand,
            window_bases=window_bases or 0,
            logit_columns=logit_columns,
            dtype=dtype,
        )
        return layer_record.finished(parts, output.parent)

    progress = Progress(sequences.count(), "sequences")
    options = {"model": model, **how}
    make_file(output, options, sequences.records(), work, write, resume=resume, progress=progress)
    exit_with(progress.num_failed)


def _writer(output: Path, pooling: PoolingName) -> Callable[[Path, Journal], None]:
    if output.suffix == ".npz":
        return write_npz
    if output.suffix == ".parquet":
        require_pyarrow()
        from primase.cli.array_parquet import write_matrix_rows, write_records

        if pooling in VECTORS:
            return partial(write_records, count="num_other_characters")
        return write_matrix_rows
    if pooling not in VECTORS:
        raise click.UsageError(f".tsv holds no --pooling {pooling}: use .npz or .parquet")
    return write_tsv
