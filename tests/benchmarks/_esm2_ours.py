"""Our own ways to run ESM-2: the engine alone, and clients over gRPC."""

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import primase
from primase_server.engine.events import ItemFinished
from primase_server.engine.job import Job
from primase_server.engine.local import LocalEngine
from primase_server.models.cpu_linear import Kernel
from primase_server.models.esm2.runner import Esm2Runner
from primase_server.models.esm2.weights import LocalWeights, load
from primase_server.models.esm2.work import EncodeItem, Include
from primase_server.serving import engine_limits
from primase_server.settings import Limits
from tests.benchmarks._esm2_peers import Array, Run
from tests.e2e.server import serving

MODEL = "esm2"
NUM_CLIENTS = 16
TIMEOUT_S = 600


def engine_alone(path: Path, kernel: Kernel) -> tuple[Esm2Runner, Run]:
    """One job of all proteins on the engine of this process, with no wire."""
    loaded = load(LocalWeights(path), make=kernel.make)
    runner = Esm2Runner(loaded.model, loaded.weights)
    return runner, lambda proteins, output: asyncio.run(_submit(runner, proteins, output))


@contextmanager
def over_grpc(path: Path, num_threads: int) -> Iterator[Run]:
    """16 clients of one process, each with its share of the proteins, and a server of its own."""
    options = (f"--model={MODEL}={path}", f"--threads={num_threads}", "--withdraw-s=0")
    with serving(*options) as server:

        def share(proteins: Sequence[str], output: Any) -> list[Array]:
            with primase.connect(server.target, timeout_s=TIMEOUT_S) as client:
                results = client.esm2(MODEL).encode(proteins, include=(output,))
                return [_array(result.value, output) for result in results]

        def run(proteins: Sequence[str], output: str) -> list[Array]:
            shares = [proteins[i::NUM_CLIENTS] for i in range(min(NUM_CLIENTS, len(proteins)))]
            with ThreadPoolExecutor(NUM_CLIENTS) as clients:
                found = list(clients.map(share, shares, [output] * len(shares)))
            return [found[i % NUM_CLIENTS][i // NUM_CLIENTS] for i in range(len(proteins))]

        yield run


async def _submit(runner: Esm2Runner, proteins: Sequence[str], output: str) -> list[Array]:
    engine = LocalEngine()
    engine.add_model(MODEL, runner, engine_limits(Limits()))
    served, include = runner.served, frozenset({Include(output)})
    items = [EncodeItem.build(served, protein, include=include) for protein in proteins]
    found = []
    async for event in engine.submit(Job(MODEL, "benchmark", items)):
        assert isinstance(event, ItemFinished), event
        found.append(_array(event.value, output))
    await engine.close()
    return found


def _array(value: Any, output: str) -> Array:
    array = getattr(value, output)
    if output == "mean":
        array = array[max(array)] if isinstance(array, dict) else array[-1]
    found: Array = array
    return found
