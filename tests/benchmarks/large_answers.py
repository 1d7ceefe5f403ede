"""What a large answer costs those who ask for little at the same time.

Another process asks, over REST and without a pause, for the logits, contacts and attentions of a
protein of 1,000 residues; meanwhile small requests are timed. A small encode also waits until the
forward pass of a large one gives way: so its time is told with that wait and without it.
"""

import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from typing import Any, NamedTuple

import click
import grpc
import httpx

from tests.benchmarks.health import PROTEIN
from tests.e2e.server import Server, serving
from tests.health import SERVING, health

MODEL = "esm2-8m"
NUM_PROBES = 200
PROBE_INTERVAL_S = 0.02
SMALL = {"items": [{"sequence": "MSILVTRPSPAGEELVSRLRTLGQVAWHFPLIE"}]}
LARGE = {
    "items": [{"sequence": PROTEIN}],
    "params": {"include": ["logits", "contacts", "attentions"]},
}


# Asks once; gives the milliseconds of it that were spent waiting for the device.
Ask = Callable[[], float]


class Latency(NamedTuple):
    """Of one kind of request, in milliseconds."""

    median_ms: float
    p99_ms: float

    @classmethod
    def of(cls, taken_ms: list[float]) -> "Latency":
        """From the times of all probes."""
        return cls(statistics.median(taken_ms), sorted(taken_ms)[int(0.99 * len(taken_ms))])


def main() -> None:
    with (
        serving("--model", f"{MODEL}=random", "--withdraw-s", "0") as server,
        httpx.Client(base_url=server.url, timeout=60) as http,
        grpc.insecure_channel(server.target) as channel,
    ):

        def ask_small() -> float:
            answer = http.post(f"/primase/v1/models/{MODEL}:encode", json=SMALL).raise_for_status()
            return float(answer.json()["encodings"][0]["timings"]["queueMs"])

        def ask_models() -> float:
            http.get("/primase/v1/models").raise_for_status()
            return 0

        def ask_health() -> float:
            assert health(channel) == SERVING
            return 0

        idle = measure(ask_small, ask_models, ask_health)
        with large_answers(server) as tell:
            busy = measure(ask_small, ask_models, ask_health)
        report(idle, busy)
        click.echo(tell())


def measure(ask_small: Ask, ask_models: Ask, ask_health: Ask) -> dict[str, Latency]:
    """Every kind of request, one after the other."""
    taken_ms, waited_ms = probe(ask_small)
    rest_ms = [taken - waited for taken, waited in zip(taken_ms, waited_ms, strict=True)]
    return {
        "small encode over REST": Latency.of(taken_ms),
        "the same, less its wait for the device": Latency.of(rest_ms),
        "REST `GET /primase/v1/models`": Latency.of(probe(ask_models)[0]),
        "gRPC `Health.Check`": Latency.of(probe(ask_health)[0]),
    }


def probe(ask: Ask) -> tuple[list[float], list[float]]:
    """Milliseconds of each probe, and of its wait for the device."""
    taken_ms, waited_ms = [], []
    for _ in range(NUM_PROBES):
        started_s = time.perf_counter()
        waited_ms.append(ask())
        taken_ms.append((time.perf_counter() - started_s) * 1000)
        time.sleep(PROBE_INTERVAL_S)
    return taken_ms, waited_ms


@contextmanager
def large_answers(server: Server) -> Iterator[Callable[[], str]]:
    """Someone asks for them; afterwards it can be told how many there were."""
    processes = multiprocessing.get_context("spawn")
    stopping, started = processes.Event(), processes.Event()
    found: Any = processes.Queue()
    asking = processes.Process(target=ask_large, args=(server.url, started, stopping, found))
    asking.start()
    started.wait()
    yield lambda: "large answers meanwhile: {}, of {:.1f} MB, {:.0f} ms each".format(*found.get())
    stopping.set()
    asking.join()


def ask_large(url: str, started: Event, stopping: Event, found: Any) -> None:
    """Read answer after answer, and keep none."""
    num_answers = num_bytes = 0
    started_s = time.perf_counter()
    with httpx.Client(base_url=url, timeout=60) as http:
        while not stopping.is_set():
            with http.stream("POST", f"/api/v2/{MODEL}/encode/", json=LARGE) as answer:
                answer.raise_for_status()
                started.set()
                num_bytes += sum(len(piece) for piece in answer.iter_raw(1 << 16))
            num_answers += 1
    taken_ms = (time.perf_counter() - started_s) * 1000
    found.put((num_answers, num_bytes / num_answers / 1e6, taken_ms / num_answers))


def report(idle: dict[str, Latency], busy: dict[str, Latency]) -> None:
    click.echo("| request | idle: median | p99 | beside large answers: median | p99 |")
    click.echo("|---|---|---|---|---|")
    for name, alone in idle.items():
        cells = [f"{ms:.2f} ms" for ms in (*alone, *busy[name])]
        click.echo(f"| {' | '.join((name, *cells))} |")
