"""A bulk run over 20 times the input needs no more memory, and has every record once.

`primase encode --bulk` with a Ray of its own against a server of the ESM-2 fixture, first over so
many proteins and then over 20 times as many. Weighed are the command itself and all that it
started, most at one moment: memory of their own and their part of what they share, as the kernel
counts it (PSS), without the pages of files, which they share with whoever else runs Ray.

Neither the command nor the largest of Ray's processes may grow, and all of it by no more than the
object store that chunks wait in. PRIMASE_SOAK_RECORDS sets how many records the first input has.
"""

import os
import random
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pyarrow.compute as pc
import pyarrow.dataset as ds

from primase.bulk.run import OBJECT_STORE_BYTES
from tests.e2e.server import COMMAND, serving
from tests.processes import children

NUM_RECORDS = int(os.environ.get("PRIMASE_SOAK_RECORDS", "10000"))
TIMES = 20
MOST_GROWTH_BYTES = 32 << 20
MIB = 1 << 20
WEIGH_EVERY_S = 0.5
RESIDUES = "ACDEFGHIKLMNPQRSTVWY"


@dataclass
class Weight:
    """Bytes, most at one moment.

    command: of the command itself.
    largest: of the largest process of Ray.
    all_of_it: of the command and all processes of Ray.
    """

    command: int = 0
    largest: int = 0
    all_of_it: int = 0


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        serving("--model=esm2-8m=fixture", "--withdraw-s=0") as server,
    ):
        weights = [
            run(Path(folder), server.target, number)
            for number in (NUM_RECORDS, TIMES * NUM_RECORDS)
        ]
    few, many = weights
    assert many.command - few.command < MOST_GROWTH_BYTES, weights
    assert many.largest - few.largest < MOST_GROWTH_BYTES, weights
    assert many.all_of_it - few.all_of_it < OBJECT_STORE_BYTES, weights


def run(folder: Path, target: str, num_records: int) -> Weight:
    """One bulk run, weighed."""
    source, output = folder / "in.fasta", folder / f"{num_records}.parquet"
    chance = random.Random(1)
    with source.open("w") as file:
        for number in range(num_records):
            sequence = "".join(chance.choices(RESIDUES, k=chance.randint(20, 60)))
            file.write(f">protein{number:09} of the soak\n{sequence}\n")
    given = ("--model", "esm2-8m", "--server", target, "--bulk", "-o", output)
    started_s = time.monotonic()
    process = subprocess.Popen((COMMAND, "encode", source, *given))
    weight = Weight()
    ended = threading.Event()
    scales = threading.Thread(target=weigh, args=(process.pid, weight, ended))
    scales.start()
    status = process.wait()
    ended.set()
    scales.join()
    took_s = time.monotonic() - started_s
    assert status == 0
    records = ds.dataset(output, format="parquet").to_table(["record"])["record"]
    assert len(records) == num_records
    assert pc.count_distinct(records).as_py() == num_records
    assert pc.min_max(records).as_py() == {"min": 0, "max": num_records - 1}
    click.echo(
        f"{num_records:,} records, {source.stat().st_size / MIB:.1f} MiB: {took_s:.0f} s, "
        f"{num_records / took_s:.0f} a second, command {weight.command / MIB:.0f} MiB, largest "
        f"of Ray {weight.largest / MIB:.0f} MiB, all of it {weight.all_of_it / MIB:.0f} MiB"
    )
    return weight


def weigh(pid: int, weight: Weight, ended: threading.Event) -> None:
    """Again and again, until the command has ended."""
    while not ended.wait(WEIGH_EVERY_S):
        command = own_bytes(pid)
        others = list(map(own_bytes, descendants(pid)))
        weight.command = max(weight.command, command)
        weight.largest = max(weight.largest, *others, 0)
        weight.all_of_it = max(weight.all_of_it, command + sum(others))


def descendants(pid: int) -> Iterator[int]:
    """All that it has started, and what those have."""
    try:
        started = list(children(pid))
    except OSError:
        return
    for child in started:
        yield child
        yield from descendants(child)


def own_bytes(pid: int) -> int:
    """Of a process, with its part of what it shares; 0 where it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    found = dict(line.split()[:2] for line in lines[1:])
    return 1024 * sum(int(found.get(name, 0)) for name in ("Pss_Anon:", "Pss_Shmem:"))
