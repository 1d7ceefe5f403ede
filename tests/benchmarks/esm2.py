"""ESM-2 against transformers and fair-esm: the same weights, proteins and threads, interleaved.

    make bench-esm2                                            everything
    python -m tests.benchmarks.esm2 --shapes 8M --outputs mean --proteins 8 --repeats 1

Proteins are real ones of 30 to 1,000 residues, drawn once with a seed; the larger the shape, the
fewer of them, evenly over the lengths. Peers that pad are timed on the 8M only, where they are
found to be the slowest by far. The tables are for docs/numbers.md.
"""

import random
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import torch

from primase_server.models import cpu_linear
from primase_server.models.esm2.config import SLUGS, VARIANTS, Esm2Config
from primase_server.models.esm2.cost import flops
from primase_server.models.esm2.random_state import RandomState
from primase_server.models.esm2.runner import Esm2Runner
from primase_server.models.esm2.work import EncodeItem
from tests.benchmarks import _esm2_peers as peers
from tests.benchmarks._esm2_ours import engine_alone, over_grpc
from tests.e2e.proteins import uniprot_500
from tests.models.esm2.reference import save_fair_checkpoint

SHAPES: Mapping[str, Mapping[str, int]] = {
    "8M": {"mean": 64, "logits": 16, "contacts": 4},
    "35M": {"mean": 16, "logits": 8, "contacts": 4},
    "150M": {"mean": 4, "logits": 2, "contacts": 2},
}
"""How many of the 64 proteins each output of a shape is timed on."""

OUTPUTS = ("mean", "logits", "contacts")
NUM_PROTEINS = 64
FLOAT32_TOLERANCE = 1e-3  # largest difference over largest value, to a peer
CEILING_ROWS = (256, 1024, 4096)


@dataclass(frozen=True)
class Way:
    """A way to run the model; `is_ours` leaves it out of the best peer, `is_exact` is float32."""

    name: str
    run: peers.Run
    is_ours: bool = False
    is_exact: bool = True


@dataclass(frozen=True)
class Bench:
    """The ways of one shape, and our model for its count of operations."""

    runner: Esm2Runner
    ways: Sequence[Way]


@click.command()
@click.option("--shapes", default=",".join(SHAPES), show_default=True)
@click.option("--outputs", default=",".join(OUTPUTS), show_default=True)
@click.option("--proteins", type=click.IntRange(1, NUM_PROTEINS), help="For every shape and output")
@click.option("--repeats", default=3, show_default=True, type=click.IntRange(1))
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1))
def command(shapes: str, outputs: str, proteins: int | None, repeats: int, threads: int) -> None:
    """Print a table for each shape and output, and the ceiling of the 8M's products."""
    torch.set_num_threads(threads)
    for shape in shapes.split(","):
        with bench(VARIANTS[SLUGS[f"esm2-{shape.lower()}"]], threads) as ready:
            for output in outputs.split(","):
                chosen = choose(proteins or SHAPES[shape][output])
                report(f"{shape}, {output}", ready, chosen, measure(ready, chosen, output, repeats))
        if shape == "8M":
            report_ceiling(VARIANTS[SLUGS["esm2-8m"]])


def main() -> None:
    command.main([], standalone_mode=False)


def choose(count: int) -> list[str]:
    """That many of the 64 proteins, evenly over their lengths, in no order."""
    usable = [p.sequence for p in uniprot_500() if 30 <= len(p.sequence) <= 1000]
    drawn = sorted(random.Random(0).sample(usable, NUM_PROTEINS), key=len)
    spread = [drawn[int((i + 0.5) * NUM_PROTEINS / count)] for i in range(count)]
    return random.Random(1).sample(spread, count)


@contextmanager
def bench(config: Esm2Config, num_threads: int) -> Iterator[Bench]:
    """Every way, all with the same seeded random weights."""
    state = dict(RandomState(config, seed=0))
    fair = peers.fair_model(config, state)
    hub = peers.hub_models(config, state)
    with tempfile.TemporaryDirectory() as folder:
        path = save_fair_checkpoint(fair, config, Path(folder) / "esm2.pt")
        runner, prepacked = engine_alone(path, cpu_linear.PREPACKED)
        with over_grpc(path, num_threads) as grpc:
            ways = [
                Way("Primase, engine alone", prepacked, is_ours=True),
                Way("Primase, gRPC, 16 clients", grpc, is_ours=True),
                Way(
                    "Primase, engine alone, plain",
                    engine_alone(path, cpu_linear.PLAIN)[1],
                    is_ours=True,
                ),
                Way(
                    "Primase, engine alone, int8",
                    engine_alone(path, cpu_linear.INT8)[1],
                    is_ours=True,
                    is_exact=False,
                ),
                Way("transformers, one by one", peers.hub_one_by_one(hub)),
                Way("fair-esm, one by one", peers.fair_one_by_one(fair)),
            ]
            if config == VARIANTS[SLUGS["esm2-8m"]]:
                ways.append(Way("transformers, sorted, batches of 8", peers.hub_batches(hub)))
                ways.append(Way("fair-esm, its own batches", peers.fair_batches(fair)))
            yield Bench(runner, ways)


def measure(
    ready: Bench, proteins: Sequence[str], output: str, repeats: int
) -> dict[str, list[float]]:
    """Seconds of each way, one repeat of all ways after the other."""
    shortest = sorted(proteins, key=len)[:2]
    expected = ready.ways[0].run(shortest, output)
    for way in ready.ways:
        check(way, way.run(shortest, output), expected)
    taken_s: dict[str, list[float]] = {way.name: [] for way in ready.ways}
    for _ in range(repeats):
        for way in ready.ways:
            started_s = time.perf_counter()
            way.run(proteins, output)
            taken_s[way.name].append(time.perf_counter() - started_s)
    return taken_s


def check(way: Way, found: Sequence[peers.Array], expected: Sequence[peers.Array]) -> None:
    """A way counts only if its numbers are those of the others."""
    for ours, theirs in zip(found, expected, strict=True):
        error = np.abs(ours - theirs).max() / np.abs(theirs).max()
        assert error < FLOAT32_TOLERANCE or not way.is_exact, (way.name, error)


def report(
    title: str, ready: Bench, proteins: Sequence[str], taken_s: Mapping[str, Sequence[float]]
) -> None:
    """Medians as residues a second, and the ratio to the best peer."""
    num_residues = sum(map(len, proteins))
    speed = {name: num_residues / statistics.median(taken) for name, taken in taken_s.items()}
    best = max(speed[way.name] for way in ready.ways if not way.is_ours)
    operations = sum(
        flops(ready.runner.config, EncodeItem.build(ready.runner.served, p).work) for p in proteins
    )
    click.echo(f"\n### {title}: {len(proteins)} proteins, {num_residues} residues\n")
    click.echo("| way | residues/s | to the best peer | useful GFLOP/s | spread |")
    click.echo("|---|---|---|---|---|")
    for name, found in speed.items():
        gflops = operations / num_residues * found / 1e9
        spread = (max(taken_s[name]) - min(taken_s[name])) / statistics.median(taken_s[name])
        click.echo(f"| {name} | {found:,.0f} | {found / best:.2f} | {gflops:.0f} | {spread:.0%} |")


def report_ceiling(config: Esm2Config) -> None:
    """GFLOP/s of the bare products of a block, by kernel."""
    click.echo("\n### Products of the 8M alone, GFLOP/s\n")
    click.echo("| rows | " + " | ".join(cpu_linear.KERNELS) + " |")
    click.echo("|---|" + "---|" * len(cpu_linear.KERNELS))
    for rows in CEILING_ROWS:
        speeds = [_block_gflops(config, kernel, rows) for kernel in cpu_linear.KERNELS.values()]
        click.echo(f"| {rows} | " + " | ".join(f"{speed:.0f}" for speed in speeds) + " |")


@torch.inference_mode()
def _block_gflops(config: Esm2Config, kernel: cpu_linear.Kernel, rows: int) -> float:
    width, ffn = config.width, config.ffn_width
    shapes = ((3 * width, width), (width, width), (ffn, width), (width, ffn))
    products = [
        (kernel.make(torch.randn(shape), torch.zeros(shape[0])), torch.randn(rows, shape[1]))
        for shape in shapes
    ]
    taken_s = []
    for _ in range(10):
        started_s = time.perf_counter()
        for product, x in products:
            product(x)
        taken_s.append(time.perf_counter() - started_s)
    return 24 * width * width * rows / statistics.median(taken_s) / 1e9


if __name__ == "__main__":
    command()
