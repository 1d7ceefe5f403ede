"""`primase encode`."""

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, get_args

import click

from primase.client import Client
from primase.comma_lists import comma_list, layer, layer_and_head, one_of
from primase.connection import calls_server
from primase.encoding_arrays import VECTORS
from primase.encoding_file import EncodingFile
from primase.fasta import parse_fasta
from primase.names import DataTypeName, IncludeName
from primase.npz_file import NpzFile
from primase.progress import count_records, exit_with, write_all
from primase.tsv_file import TsvFile
from primase.whole_file import whole_file

HELP = """Embed the proteins of FASTA (- is stdin).

Records that fail are named on stderr and leave the others alone; the exit status is then 1. The
output appears whole at the end. Layers are named by non-negative number: mean/33 is the mean at
layer 33.

\b
out.npz      ids, errors         [records]; errors is empty where all went well
             mean/33, bos/33     [records, width]; NaN where the record failed
             per_token/33/0      [residues, width] of record 0, from 0 as in the FASTA
             contacts/0          [residues, residues]
             logits/0            [residues, 33], columns in order of the model's vocabulary
             attentions/0        [layers, residues]
             attention_maps/5/19/0   [residues, residues], layer 5, head 19
out.parquet  one row per record: id, error (null where all went well), num_residues, and the
             same names without record number as lists of float32, row-major
out.tsv      one line per vector: id, mean/33 or bos/33, its numbers; mean and bos only
"""


@click.command(help=HELP)
@click.argument("fasta", type=click.File("rb"))
@click.option("--model", required=True, envvar="PRIMASE_MODEL", show_envvar=True)
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Ends in .npz, .parquet or .tsv.",
)
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
    fasta: BinaryIO,
    model: str,
    output: Path,
    include: list[IncludeName],
    layers: list[int],
    heads: list[tuple[int, int]],
    dtype: DataTypeName,
) -> None:
    """Write the encodings of a FASTA file."""
    make_file = _file_type(output, include)
    total = count_records(fasta)
    results = client.esm2(model).encode(
        parse_fasta(fasta), include=include, repr_layers=layers, attention_heads=heads, dtype=dtype
    )
    with whole_file(output) as part, make_file(part) as file:
        num_failed = write_all(results, file.write, total)
    exit_with(num_failed)


def _file_type(output: Path, include: list[IncludeName]) -> Callable[[Path], EncodingFile]:
    if output.suffix == ".npz":
        return NpzFile
    if output.suffix == ".parquet":
        return _parquet_file()
    if output.suffix != ".tsv":
        raise click.UsageError(f"{output.name!r} ends in none of .npz, .parquet and .tsv")
    if matrices := [name for name in include if name not in VECTORS]:
        raise click.UsageError(f".tsv holds no {' or '.join(matrices)}: use .npz or .parquet")
    return TsvFile


def _parquet_file() -> Callable[[Path], EncodingFile]:
    try:
        from primase.parquet_file import ParquetFile
    except ImportError as error:
        raise click.UsageError(".parquet needs pyarrow: pip install 'primase[parquet]'") from error
    return ParquetFile
