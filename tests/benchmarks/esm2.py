"""ESM-2 against transformers and fair-esm: the same weights, proteins and threads, interleaved.

    make bench-esm2                                            everything
    python -m tests.benchmarks.esm2 --shapes 8M --outputs mean --proteins 8 --repeats 1

Proteins are real ones of 30 to 1,000 residues, drawn once with a seed. A peer that pads is left
out where its attention maps would not fit in memory. The tables are for docs/numbers.md.
"""

import os
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

SHAPES = ("8M", "35M", "150M")
LONG_ROUNDS = {("35M", "contacts"), ("150M", "mean"), ("150M", "logits"), ("150M", "contacts")}
"""Those that take from five to fifteen minutes, and are run once; the others three times."""

OUTPUTS = ("mean", "logits", "contacts")
NUM_PROTEINS = 64
MAPS_SHARE = 0.2  # of the memory, for a peer's attention maps, of which it holds several copies
FLOAT32_TOLERANCE = 1e-3  # largest difference over largest value, to a peer
CEILING_ROWS = (256, 1024, 4096)


@dataclass(frozen=True)
class Way:
    """A way to run the model; `is_ours` leaves it out of the best peer, `is_exact` is float32."""

    name: str
    run: peers.Run
    is_ours: bool = False
    is_exact: bool = True
    outputs: Sequence[str] = OUTPUTS


@dataclass(frozen=True)
class Bench:
    """The ways of one shape, and our model for its count of operations."""

    runner: Esm2Runner
    ways: Sequence[Way]


@click.command()
@click.option("--shapes", default=",".join(SHAPES), show_default=True)
@click.option("--outputs", default=",".join(OUTPUTS), show_default=True)
@click.option("--proteins", default=NUM_PROTEINS, type=click.IntRange(1, NUM_PROTEINS))
@click.option("--repeats", type=click.IntRange(1), help="Rounds, for every shape")
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1))
def command(shapes: str, outputs: str, proteins: int, repeats: int | None, threads: int) -> None:
    """Print a table for each shape and output, and the ceiling of the 8M's products."""
    torch.set_num_threads(threads)
    for shape in shapes.split(","):
        with bench(VARIANTS[SLUGS[f"esm2-{shape.lower()}"]], threads) as ready:
            for output in outputs.split(","):
                chosen = choose(proteins)
                rounds = repeats or (1 if (shape, output) in LONG_ROUNDS else 3)
                taken_s = measure(ready, chosen, output, rounds)
                report(f"{shape}, {output}", ready, chosen, taken_s)
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
                    outputs=["mean"],
                ),
                Way(
                    "Primase, engine alone, int8",
                    engine_alone(path, cpu_linear.INT8)[1],
                    is_ours=True,
                    is_exact=False,
                    outputs=["mean"],
                ),
                Way("transformers, one by one", peers.hub_one_by_one(hub)),
                Way("fair-esm, one by one", peers.fair_one_by_one(fair)),
            ]
            for name, run, batch_tokens in (
                ("transformers, sorted, batches of 8", peers.hub_batches(hub), 8 * 1002),
                ("fair-esm, its own batches", peers.fair_batches(fair), peers.FAIR_BATCH_TOKENS),
            ):
                ways.append(Way(name, run, outputs=padding_outputs(config, batch_tokens)))
            yield Bench(runner, ways)


def padding_outputs(config: Esm2Config, batch_tokens: int) -> Sequence[str]:
    """Contacts only where a batch's maps, layers x heads x tokens x 1,002 floats, fit in memory."""
    maps_bytes = 4 * config.num_layers * config.num_heads * batch_tokens * 1002
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    fits = maps_bytes < MAPS_SHARE * memory_bytes
    return OUTPUTS if fits else [output for output in OUTPUTS if output != "contacts"]


def measure(
    ready: Bench, proteins: Sequence[str], output: str, repeats: int
) -> dict[str, list[float]]:
    """Seconds of each way, one repeat of all ways after the other."""
    shortest = sorted(proteins, key=len)[:2]
    expected = ready.ways[0].run(shortest, output)
    ways = [way for way in ready.ways if output in way.outputs]
    for way in ways:
        check(way, way.run(shortest, output), expected)
    taken_s: dict[str, list[float]] = {way.name: [] for way in ways}
    for _ in range(repeats):
        for way in ways:
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
    best = max(speed[way.name] for way in ready.ways if way.name in speed and not way.is_ours)
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
