"""Evo 2's generation beside the official code, and through gRPC beside the bare engine.

    make bench-evo2                                                  everything, about 15 minutes
    python -m tests.benchmarks.evo2_generation --parts decode --shapes "D 128"

decode   cached decoding of prompts of equal length, tokens a second once all have their first
ragged   prompts of many lengths: ours all at once, the official code one by one
streams  a server of its own and clients of another process, beside the engine without a wire
crowd    a call among 31 others: time to its first token, gaps between messages, time to free

Same weights, prompts, tokens and threads; each implementation is a process of its own, they work in
turn, medians are told. With --device cuda: `tests/gpu/evo2_speed.py`.
"""

import random
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click

from tests.benchmarks._evo2_clients import Crowd, Heard, make_clients, make_server
from tests.benchmarks._evo2_decoding import NAME, Asked, Round, make_engine, make_official
from tests.benchmarks._evo2_ways import SHAPES, write_checkpoint
from tests.benchmarks._workers import Worker
from tests.e2e.server import serving
from tests.gpu import evo2_speed

PARTS = ("decode", "ragged", "streams", "crowd")
RAGGED_SHAPES = STREAMED_SHAPES = ("D 128",)
WIDE = "D 1024"

PROMPT_BASES = 160
BATCHES = (1, 8)
NUM_RAGGED = 32
RAGGED_BASES = (20, 1000)
RAGGED_TOKENS = 500  # the official default
NUM_STREAMS = (1, 32, 200)
STREAM_TOKENS = {1: 500, 32: 500, 200: 100}
NUM_OTHERS = 31
NUM_PROBES = 30
PROBE_TOKENS = 20
ENDLESS = 5_000
NUM_COMPARED = 40  # greedy tokens that must be the same

chosen = random.Random(0)


@click.command()
@click.option("--parts", default=",".join(PARTS), show_default=True)
@click.option("--shapes", default=",".join(SHAPES), show_default=True)
@click.option("--repeats", default=3, show_default=True, type=click.IntRange(1))
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1))
@click.option("--device", default="cpu", show_default=True, help="Else see tests/gpu/evo2_speed.")
def command(parts: str, shapes: str, repeats: int, threads: int, device: str) -> None:
    """Print a table for each shape and part."""
    if device != "cpu":
        evo2_speed.report(device)
        return
    for shape in shapes.split(","):
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = write_checkpoint(shape, Path(folder))
            for part in parts.split(","):
                if part == "decode" or shape != WIDE:
                    click.echo(f"\n### {shape}, {part}\n")
                    RUN[part](shape, checkpoint, repeats, threads)


def main() -> None:
    command.main([], standalone_mode=False)


def decode(shape: str, checkpoint: Path, repeats: int, threads: int) -> None:
    num_tokens = 32 if shape == WIDE else 400
    with both(shape, checkpoint, threads) as (ours, official):
        greedy = [Asked(dna(PROMPT_BASES), NUM_COMPARED, top_k=1)]
        found, expected = (way.ask(greedy).made[0].token_ids for way in (ours, official))
        assert found == expected, "the two do not continue a sequence alike"
        table("batch", "Primase", "Primase, seeded", "vortex", "times as fast")
        for batch in BATCHES:
            asked = [Asked(dna(PROMPT_BASES), num_tokens) for _ in range(batch)]
            seeded = [Asked(each.prompt, each.num_tokens, seed=7) for each in asked]
            ways = (ours, asked), (ours, seeded), (official, asked)
            speeds = in_turn([partial(decoded_per_s, *way) for way in ways], repeats)
            row(batch, *map(per_s, speeds), f"{speeds[0] / speeds[2]:.2f}")


def decoded_per_s(way: Worker, asked: Sequence[Asked]) -> float:
    found: Round = way.ask(asked)
    return found.decoded_per_s


def ragged(shape: str, checkpoint: Path, repeats: int, threads: int) -> None:
    lengths = [chosen.randint(*RAGGED_BASES) for _ in range(NUM_RAGGED)]
    asked = [Asked(dna(length), RAGGED_TOKENS) for length in lengths]

    def one_by_one() -> float:
        rounds: list[Round] = [official.ask([each]) for each in asked]
        return NUM_RAGGED * RAGGED_TOKENS / sum(each.elapsed_s for each in rounds)

    with both(shape, checkpoint, threads) as (ours, official):
        for way in (ours, official):
            way.ask(asked[:1])
        table("prompts", "bases", "new tokens each", "Primase", "vortex", "times as fast")
        measures = (lambda: ours.ask(asked).tokens_per_s, one_by_one)
        speeds = in_turn(measures, repeats, num_warm=0)
        told = f"{speeds[0] / speeds[1]:.1f}"
        row(NUM_RAGGED, f"{sum(lengths):,}", RAGGED_TOKENS, *map(per_s, speeds), told)


def streams(shape: str, checkpoint: Path, repeats: int, threads: int) -> None:
    del shape
    names = ("streams", "bare engine", "gRPC", "gRPC / bare", "tokens a message")
    table(*names, "first token, median", "between messages, median", "p99")
    # weights that are random predict no bases, which forbids to serve them otherwise
    options = f"--model={NAME}={checkpoint}", "--allow-unverified-precision"
    with (
        serving(*options, f"--threads={threads}", "--withdraw-s=0") as server,
        worker(make_engine, checkpoint, threads) as engine,
        worker(make_clients, server.target) as clients,
    ):
        for number in NUM_STREAMS:
            asked = [Asked(dna(PROMPT_BASES), STREAM_TOKENS[number]) for _ in range(number)]
            row(number, *compared(engine, clients, asked, repeats))


def compared(
    engine: Worker, clients: Worker, asked: Sequence[Asked], repeats: int
) -> Iterator[str]:
    heard: list[Heard] = []

    def through_grpc() -> float:
        heard[:] = clients.ask("streams", asked)
        started_s = min(each.started_s for each in heard)
        ended_s = max(each.messages_s[-1] for each in heard)
        return sum(each.num_tokens for each in heard) / (ended_s - started_s)

    bare, wired = in_turn([lambda: engine.ask(asked).tokens_per_s, through_grpc], repeats)
    yield from (per_s(bare), per_s(wired), f"{wired / bare:.2f}")
    num_messages = sum(len(each.messages_s) for each in heard)
    yield f"{sum(each.num_tokens for each in heard) / num_messages:.1f}"
    yield ms(statistics.median(each.first_s for each in heard))
    yield from middle_and_p99([gap for each in heard for gap in each.gaps_s()])


def crowd(shape: str, checkpoint: Path, repeats: int, threads: int) -> None:
    del shape, repeats, threads  # the server's own: one thread
    others = [Asked(dna(PROMPT_BASES), ENDLESS) for _ in range(NUM_OTHERS)]
    probes = [Asked(dna(PROMPT_BASES), PROBE_TOKENS) for _ in range(NUM_PROBES)]
    victims = [Asked(dna(PROMPT_BASES), ENDLESS) for _ in range(NUM_PROBES)]
    with (
        worker(make_server, checkpoint) as server,
        worker(make_clients, server.ask("target")) as clients,
    ):
        table(f"among {NUM_OTHERS} others", "median", "p99")
        found: Crowd = clients.ask("crowd", others, probes)
        row("time to first token", *middle_and_p99([each.first_s for each in found.probes]))
        row("between messages of the others", *middle_and_p99(found.gaps_s))
        server.ask("freed")
        cancelled_s = clients.ask("cancel", others, victims)
        freed_s = server.ask("freed")
        taken_s = [min(at for at in freed_s if at > before) - before for before in cancelled_s]
        row("from cancel to free", *middle_and_p99(taken_s))


RUN: dict[str, Callable[[str, Path, int, int], None]] = {
    "decode": decode,
    "ragged": ragged,
    "streams": streams,
    "crowd": crowd,
}


@contextmanager
def both(shape: str, checkpoint: Path, threads: int) -> Iterator[tuple[Worker, Worker]]:
    """Our engine and the official code."""
    with (
        worker(make_engine, checkpoint, threads) as ours,
        worker(make_official, shape, checkpoint, threads) as official,
    ):
        yield ours, official


@contextmanager
def worker(make: Callable[..., Any], *arguments: Any) -> Iterator[Worker]:
    """A process for as long as the block runs."""
    made = Worker(make, *arguments)
    try:
        yield made
    finally:
        made.stop()


def dna(num_bases: int) -> str:
    """Random bases."""
    return "".join(chosen.choices("ACGT", k=num_bases))


def in_turn(
    measures: Sequence[Callable[[], float]], repeats: int, num_warm: int = 1
) -> list[float]:
    """The median of each, after rounds that are not counted."""
    found: list[list[float]] = [[] for _ in measures]
    for index in range(num_warm + repeats):
        for values, measure in zip(found, measures, strict=True):
            value = measure()
            if index >= num_warm:
                values.append(value)
    return [statistics.median(values) for values in found]


def middle_and_p99(values_s: Sequence[float]) -> tuple[str, str]:
    """In milliseconds."""
    if not values_s:
        return "", ""
    return ms(statistics.median(values_s)), ms(sorted(values_s)[int(0.99 * len(values_s))])


def ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


def per_s(value: float) -> str:
    return f"{value:,.0f}"


def table(*names: str) -> None:
    row(*names)
    row(*("---" for _ in names))


def row(*cells: object) -> None:
    click.echo(f"| {' | '.join(map(str, cells))} |")


if __name__ == "__main__":
    command()
