"""Memory does not grow with the number of records."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients.cli.answers import EveryAnswer
from tests.clients.scripted import serving

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
