"""ProGen2 on a CPU beside transformers' GPT-J and CTranslate2, on the same random weights.

    make bench-progen2                                     small, and medium, about half an hour
    python -m tests.benchmarks.progen2 --variants progen2-small --parts streams --repeats 1

streams  residues a second for 1, 8 and 32 requests of 105 residues on average, whose contexts and
         lengths differ: ours all at once, the others one by one or in static batches
first    time to the first residue of a request alone, and of one that comes among 31 others
score    the likelihood of proteins, from both ends

Same weights, contexts, lengths and threads; each implementation is a process of its own, they work
in turn, medians are told. A static batch runs until its longest member ends, and only what was
asked for counts. CTranslate2 is not installed with the rest: `pip install -c constraints.txt
--group bench`; without it its columns are empty.
"""

import random
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import click

from tests.benchmarks import _progen2_ways as ways
from tests.benchmarks._progen2_ways import Asked
from tests.benchmarks._workers import Worker

PARTS = ("streams", "first", "score")
CONTEXT_RESIDUES = (1, 30)
PROTEIN_RESIDUES = (60, 150)
MOST_ONE_BY_ONE = 2  # of many requests one after the other, so many tell the speed
NUM_OTHERS = 31
STATIC_BATCHES = (8, 32)

chosen = random.Random(0)
Measure = Callable[[], float]


@click.command()
@click.option("--variants", default="progen2-small,progen2-medium", show_default=True)
@click.option("--parts", default=",".join(PARTS), show_default=True)
@click.option("--requests", default="1,8,32", show_default=True)
@click.option("--repeats", default=3, show_default=True, type=click.IntRange(1))
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1))
@click.option("--scale", default=1.0, show_default=True, help="Of all lengths.")
def command(
    variants: str, parts: str, requests: str, repeats: int, threads: int, scale: float
) -> None:
    """Print a table for each variant and part."""
    for variant in variants.split(","):
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            bench = Bench(variant, Path(folder), threads, repeats, scale, stack)
            bench.check()
            for part in parts.split(","):
                click.echo(f"\n### {variant}, {part}, threads: {threads}\n")
                if part == "streams":
                    bench.streams([int(number) for number in requests.split(",")])
                else:
                    bench.first() if part == "first" else bench.score()


class Bench:
    """The implementations of one variant, each in its process."""

    def __init__(
        self,
        variant: str,
        folder: Path,
        threads: int,
        repeats: int,
        scale: float,
        stack: ExitStack,
    ) -> None:
        self._repeats, self._scale = repeats, scale
        checkpoint = ways.write_checkpoint(variant, folder / "checkpoint")

        def worker(make: Callable[..., ways.Way], *arguments: object) -> Worker:
            made = Worker(make, *arguments)
            stack.callback(made.stop)
            return made

        self._ours = worker(ways.make_primase, checkpoint, threads, "auto")
        self._int8 = worker(ways.make_primase, checkpoint, threads, "int8")
        self._transformers = worker(ways.make_transformers, checkpoint, threads)
        self._peers: Mapping[str, Worker] = {}
        if find_spec("ctranslate2") is not None:
            converted = ways.convert(checkpoint, folder)
            self._peers = {
                f"CTranslate2 {kind}": worker(ways.make_ctranslate2, converted, threads, kind)
                for kind in ("float32", "int8")
            }

    def check(self) -> None:
        """All in float32 go on with a context alike."""
        asked = [Asked(context(8), 20)]
        expected = self._transformers.ask("greedy", asked)
        assert self._ours.ask("greedy", asked) == expected
        if self._peers:
            assert self._peers["CTranslate2 float32"].ask("greedy", asked) == expected

    def streams(self, numbers: Sequence[int]) -> None:
        """Residues a second, of all requests together."""
        table("requests", "implementation", "residues/s", "times transformers one by one")
        for number in numbers:
            asked = [self._request() for _ in range(number)]
            seeded = [Asked(each.token_ids, each.num_tokens, seed=7) for each in asked]
            measures = {
                "transformers, one by one": self._speed(
                    self._transformers, asked[:MOST_ONE_BY_ONE], 1
                ),
                "Primase float32": self._speed(self._ours, asked),
                "Primase float32, seeded": self._speed(self._ours, seeded),
                "Primase int8": self._speed(self._int8, asked),
            }
            for batch in (batch for batch in STATIC_BATCHES if batch <= number):
                by_length = sorted(asked, key=lambda each: each.num_tokens)
                for name, way in {"transformers": self._transformers, **self._peers}.items():
                    measures[f"{name}, batches of {batch}"] = self._speed(way, by_length, batch)
            if number == 1:
                measures |= {name: self._speed(way, asked, 1) for name, way in self._peers.items()}
            speeds = in_turn(measures, self._repeats)
            for name, speed in speeds.items():
                times = speed / speeds["transformers, one by one"]
                row(number, name, f"{speed:.1f}", f"{times:.2f}")

    def first(self) -> None:
        """Milliseconds until the first residue."""
        table("first residue of", "implementation", "ms")
        probe = Asked(context(20), 1)
        others = [Asked(context(20), self._length(60)) for _ in range(NUM_OTHERS)]
        names = {"Primase float32": self._ours, "Primase int8": self._int8}
        alone: dict[str, Measure] = {
            name: partial(lambda way: way.ask("generate", [probe])[0], way)
            for name, way in names.items()
        }
        for name, way in {"transformers": self._transformers, **self._peers}.items():
            alone[name] = partial(taken_s, way, "generate", [probe], 1)
        told = in_turn(alone, max(5, self._repeats))
        for name, first_s in told.items():
            row("a request alone", name, f"{first_s * 1e3:.0f}")
        together = {
            name: partial(lambda way: way.ask("generate", [*others, probe])[-1], way)
            for name, way in names.items()
        }
        for name, first_s in in_turn(together, 1).items():
            row(f"the last of {NUM_OTHERS + 1} that come at once", name, f"{first_s * 1e3:.0f}")

    def score(self) -> None:
        """Milliseconds for all proteins, both directions."""
        table("proteins of 105 residues", "implementation", "ms", "times transformers")
        for number in (1, 32):
            proteins = [list(context(self._length(105))[1:]) for _ in range(number)]
            expected = self._transformers.ask("score", proteins, 8)
            found = self._ours.ask("score", proteins)
            assert all(abs(a - b) < 1e-3 * abs(b) for a, b in zip(found, expected, strict=True))
            measures: dict[str, Measure] = {
                "transformers, padded batches of 8": partial(
                    taken_s, self._transformers, "score", proteins, 8
                ),
                "Primase float32": partial(taken_s, self._ours, "score", proteins),
                "Primase int8": partial(taken_s, self._int8, "score", proteins),
            }
            told = in_turn(measures, self._repeats)
            for name, elapsed_s in told.items():
                times = told["transformers, padded batches of 8"] / elapsed_s
                row(number, name, f"{elapsed_s * 1e3:.0f}", f"{times:.2f}")

    def _request(self) -> Asked:
        num_context = chosen.randint(*CONTEXT_RESIDUES)
        return Asked(
            context(num_context), self._length(chosen.randint(*PROTEIN_RESIDUES) - num_context)
        )

    def _length(self, num_tokens: int) -> int:
        return max(2, int(num_tokens * self._scale))

    def _speed(self, way: Worker, asked: Sequence[Asked], *batch: int) -> Measure:
        num_tokens = sum(each.num_tokens for each in asked)
        return lambda: num_tokens / taken_s(way, "generate", asked, *batch)


def taken_s(way: Worker, *question: object) -> float:
    """Seconds until it has answered."""
    started_s = time.perf_counter()
    way.ask(*question)
    return time.perf_counter() - started_s


def in_turn(measures: Mapping[str, Measure], repeats: int) -> Mapping[str, float]:
    """The median of each."""
    found: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(repeats):
        for name, measure in measures.items():
            found[name].append(measure())
    return {name: statistics.median(values) for name, values in found.items()}


def context(num_residues: int) -> tuple[int, ...]:
    """The N terminus and random residues."""
    return (3, *(chosen.randint(5, 29) for _ in range(num_residues)))


def table(*names: str) -> None:
    """The head of one."""
    row(*names)
    row(*("---" for _ in names))


def row(*cells: object) -> None:
    """A line of one."""
    click.echo(f"| {' | '.join(map(str, cells))} |")


if __name__ == "__main__":
    command()
