"""Memory does not grow with the number of records, nor with the length of a sequence."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from primase.evo2.v1 import evo2_service_pb2 as pb
from primase.tensors import row_slices
from tests.clients.cli.answers import EveryAnswer
from tests.clients.scripted import ScriptedEvo2, serving

FEW, MANY = 2_000, 20_000
MIB = 1 << 20

# What the kernel says of the process itself: what it tells a parent counts the parent too.
COMMAND = """
import pathlib, re, sys
from primase.commands import main
main(sys.argv[1:], prog_name="primase", standalone_mode=False)
print(re.search(r"VmHWM:\\s+(\\d+) kB", pathlib.Path("/proc/self/status").read_text())[1])
"""


def peak_bytes(*arguments: object) -> int:
    """The largest resident memory of a command that succeeds."""
    run = (sys.executable, "-c", COMMAND, *map(str, arguments))
    return int(subprocess.run(run, check=True, stdout=subprocess.PIPE).stdout) * 1024


def records(num_records: int) -> str:
    """Records of 200 residues, with a long name each."""
    return "".join(f">{i:0100}\n{'MKTVA' * 40}\n" for i in range(num_records))


@pytest.mark.parametrize(("command", "name"), [("encode", "out.npz"), ("score", "out.tsv")])
def test_memory_is_flat(tmp_path: Path, command: str, name: str) -> None:
    peaks = []
    with serving(esm2=EveryAnswer()) as target:
        for num_records in (FEW, MANY):
            source = tmp_path / "in.fasta"
            source.write_text(records(num_records))
            given = ("--server", target, "--model", "m", "-o", tmp_path / name)
            peaks.append(peak_bytes(command, source, *given))

    # There are 5 MiB more to read, and the names alone take 7 MiB more as text of numpy.
    assert peaks[1] - peaks[0] < 4 * MIB


WIDTH = 512


def wide_rows(request: Any, context: Any) -> Iterator[pb.StreamForwardResponse]:
    """Rows of 512 numbers: 2 KiB a base."""
    (layer,) = request.options.layers
    for i, item in enumerate(request.items):
        array = np.lib.stride_tricks.as_strided(
            np.ones(WIDTH, np.float32), (len(item.sequence), WIDTH), (0, 4)
        )
        for piece in row_slices(array):
            slices = [pb.LayerSlice(layer=layer, slice=piece)]
            yield pb.StreamForwardResponse(item_index=i, rows=pb.ForwardRows(slices=slices))
        yield pb.StreamForwardResponse(item_index=i, rows=pb.ForwardRows(last=True))


@pytest.mark.parametrize(
    ("name", "short", "long", "grows_by"),
    [
        # 90 MiB more to keep.
        ("out.npz", 5_000, 50_000, 8 * MIB),
        # 98 MiB more. Both fill a row group of 32 MiB, and pyarrow lets go of one after a while.
        ("out.parquet", 20_000, 70_000, 60 * MIB),
    ],
)
def test_memory_is_flat_in_the_length_of_a_sequence(
    tmp_path: Path, name: str, short: int, long: int, grows_by: int
) -> None:
    peaks = []
    with serving(evo2=ScriptedEvo2(wide_rows)) as target:
        for num_bases in (short, long):
            source = tmp_path / "in.fasta"
            source.write_text(f">a\n{'A' * num_bases}\n")
            given = ("--server", target, "--model", "evo2-7b", "--layers", "norm")
            peaks.append(peak_bytes("forward", source, *given, "-o", tmp_path / name))

    assert peaks[1] - peaks[0] < grows_by
