"""Evo 2's prefill and forward beside the official code: same weights, tokens and threads.

    make bench-evo2-forward                                     everything
    python -m tests.benchmarks.evo2_forward --shapes "D 128" --lengths 1024

Each implementation is a process of its own; they read in turn, and only one works at a time. The
transient memory is the highest resident memory of its process during a reading less that before.
"""

import random
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import click
import numpy as np
import torch
from torch import Tensor

from tests.benchmarks._evo2_ways import SHAPES, Reading, Way, write_checkpoint

OURS, OFFICIAL = "Primase", "vortex"
KINDS = ("prefill with state", "forward")
LENGTHS = (1024, 4096, 16384)
TOLERANCE = 1e-3  # largest difference over largest value, on a chaotic random model
MIB = 1 << 20

Readings = Mapping[str, Sequence[Reading]]
Value = Callable[[Reading], float]


@click.command()
@click.option("--shapes", default=",".join(SHAPES), show_default=True)
@click.option("--lengths", default=",".join(map(str, LENGTHS)), show_default=True)
@click.option("--repeats", default=3, show_default=True, type=click.IntRange(1))
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1))
def command(shapes: str, lengths: str, repeats: int, threads: int) -> None:
    """Print a table for each shape."""
    for shape in shapes.split(","):
        click.echo(f"\n### {shape}\n")
        names = ("bases", "what", OURS, OFFICIAL, "times as fast", OURS, OFFICIAL, "memory")
        click.echo(f"| {' | '.join(names)} |\n{'|---' * len(names)}|")
        with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
            checkpoint = write_checkpoint(shape, Path(folder))
            ways = {}
            for name in (OURS, OFFICIAL):
                ways[name] = Way(name, shape, checkpoint, threads)
                stack.callback(ways[name].stop)
            for length in map(int, lengths.split(",")):
                for kind in KINDS:
                    report(length, kind, measure(ways, kind, dna(length), repeats))


def main() -> None:
    command.main([], standalone_mode=False)


def dna(num_bases: int) -> Tensor:
    """Random bases as tokens."""
    return torch.tensor(random.Random(num_bases).choices(list(b"ACGT"), k=num_bases))


def measure(ways: Mapping[str, Way], kind: str, token_ids: Tensor, repeats: int) -> Readings:
    """One reading of each in turn, after one that is not counted."""
    for way in ways.values():
        way.read(kind, token_ids[:64])
    found: dict[str, list[Reading]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            if (reading := way.read(kind, token_ids)) is not None:
                found[name].append(reading)
    if kind == "forward" and all(found.values()):
        ours, theirs = (found[name][0].last_logits for name in (OURS, OFFICIAL))
        error = np.abs(ours - theirs).max() / np.abs(theirs).max()
        assert error < TOLERANCE, (kind, len(token_ids), error)
    return found


def report(length: int, kind: str, found: Readings) -> None:
    """Medians, and their ratios."""
    cells = []
    for value, unit, digits in ((_seconds, "s", 2), (_mib, "MiB", 0)):
        ours, theirs = (_median(found[name], value) for name in (OURS, OFFICIAL))
        cells += [
            "none" if number is None else f"{number:,.{digits}f} {unit}"
            for number in (ours, theirs)
        ]
        cells.append(f"{theirs / ours:.2f}" if ours and theirs else "")
    click.echo(f"| {length:,} | {kind} | {' | '.join(cells)} |")


def _median(readings: Sequence[Reading], value: Value) -> float | None:
    return statistics.median(map(value, readings)) if readings else None


def _seconds(reading: Reading) -> float:
    return reading.elapsed_s


def _mib(reading: Reading) -> float:
    return reading.transient_bytes / MIB


if __name__ == "__main__":
    command()
