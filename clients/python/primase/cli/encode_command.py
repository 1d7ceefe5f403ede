"""`primase encode`."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import get_args

import click

from primase.cli import encoded_record
from primase.cli.bulk_options import BulkOptions, runs_in_bulk
from primase.cli.bulk_run import make_file
from primase.cli.comma_lists import comma_list, layer, layer_and_head, one_of
from primase.cli.connection import calls_server, model_option
from primase.cli.encode_task import EncodeTask
from primase.cli.journal import Journal
from primase.cli.npz_file import write_npz
from primase.cli.output_options import require_pyarrow, writes_file
from primase.cli.progress import Progress, exit_with
from primase.cli.sequence_input import SequenceInput, reads_sequences
from primase.cli.vector_tsv import write_tsv
from primase.client import Client
from primase.names import DataTypeName, IncludeName

HELP = """Embed the proteins of INPUT, FASTA or CSV (- is stdin).

Records that fail are named on stderr and leave the others alone; the exit status is then 1. The
output appears whole at the end; a run that ends before leaves OUTPUT.partial, from which the same
command goes on with --resume. Layers are named by non-negative number: mean/33 is the mean at layer
33.

\b
out.npz      ids, errors         [records]; errors is empty where all went well
             mean/33, bos/33     [records, width]; NaN where the record failed
             per_token/33/0      [residues, width] of record 0, from 0 as in INPUT
             contacts/0          [residues, residues]
             logits/0            [residues, 33], columns in order of the model's vocabulary
             attentions/0        [layers, residues]
             attention_maps/5/19/0   [residues, residues], layer 5, head 19
out.parquet  one row per record: id, error (null where all went well), num_residues, and the
             same names without record number as lists of float32, row-major
out.tsv      one line per vector: id, mean/33 or bos/33, its numbers; mean and bos only

With --bulk out.parquet is a folder of such files, and `record` is in front of their columns.
"""


@click.command(help=HELP)
@reads_sequences
@model_option
@runs_in_bulk
@writes_file((".npz", ".parquet", ".tsv"), required=True)
@click.option(
    "--include",
    default="mean",
    show_default=True,
    callback=comma_list(one_of(get_args(IncludeName))),
    metavar="OUTPUT,...",
    help=f"Any of {', '.join(get_args(IncludeName))}.",
)
@click.option(
    "--layers",
    default="-1",
    show_default=True,
    callback=comma_list(layer),
    metavar="LAYER,...",
    help="0 is the embedding, -1 the last layer.",
)
@click.option(
    "--heads",
    default="",
    callback=comma_list(layer_and_head),
    metavar="LAYER/HEAD,...",
    help="The attention_maps, such as 5/19,5/20.",
)
@click.option(
    "--dtype",
    default="float32",
    show_default=True,
    type=click.Choice(get_args(DataTypeName)),
    help="Numbers on the wire; files hold float32.",
)
@calls_server
def encode(
    client: Client,
    *,
    sequences: SequenceInput,
    model: str,
    output: Path,
    resume: bool,
    include: list[IncludeName],
    layers: list[int],
    heads: list[tuple[int, int]],
    dtype: DataTypeName,
    bulk: BulkOptions | None,
) -> None:
    """Write the encodings of a file."""
    task = EncodeTask(model, tuple(include), tuple(layers), tuple(heads), dtype)
    if bulk is not None:
        from primase.bulk import tasks

        names = task.array_names(client.model(model))
        work = partial(tasks.encodings, task=task, names=names)
        bulk.run(sequences, output, task.options, work, resume=resume)
        return
    progress = Progress(sequences.count(), "sequences")
    make_file(
        output,
        task.options,
        sequences.records(),
        partial(task.work, client),
        _writer(output, include),
        resume=resume,
        progress=progress,
    )
    exit_with(progress.num_failed)


def _writer(output: Path, include: list[IncludeName]) -> Callable[[Path, Journal], None]:
    if output.suffix == ".npz":
        return write_npz
    if output.suffix == ".parquet":
        require_pyarrow()
        from primase.cli.array_parquet import write_records

        return partial(write_records, count="num_residues")
    if matrices := [name for name in include if name not in encoded_record.VECTORS]:
        raise click.UsageError(f".tsv holds no {' or '.join(matrices)}: use .npz or .parquet")
    return write_tsv
