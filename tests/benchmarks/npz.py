"""NIM's forward of one wide layer: what the gateway adds to the model's own time.

A service with its numbers at hand sends the rows; the gateway, a process of its own, makes the
.npz of them, and a client reads the answer. Beside that the stages alone, in this process.
"""

import binascii
import json
import multiprocessing
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import grpc
import httpx
import numpy as np

from primase.evo2.v1 import evo2_service_pb2 as pb
from primase.evo2.v1 import evo2_service_pb2_grpc
from primase.models.v1 import model_service_pb2_grpc
from primase.tensors import row_slices
from primase.type.v1 import tensor_pb2
from primase_gateway.npz import Layout, Npz
from primase_gateway.npz_answer import BLOCK_BYTES
from tests.gateway import scripted_evo2
from tests.gateway.scripted import Script, ScriptedModels
from tests.gateway.scripted_evo2 import ScriptedEvo2

NUM_BASES = 10_000
WIDTH = 4096
LAYER = "norm"
SLICE_BYTES = 1 << 20
NUM_RUNS = 5
MB = 1e6


def main() -> None:
    pieces = slices()
    filled_s, encoded_s = min(stages(pieces) for _ in range(NUM_RUNS))
    click.echo(f"one layer [{NUM_BASES}, {WIDTH}] of float32, best of {NUM_RUNS}")
    click.echo(f"rows to .npz: {filled_s * 1000:.0f} ms; to base64: {encoded_s * 1000:.0f} ms")
    with served() as (url, gateway):
        memory = [(asked(url), peak_mb(gateway)) for _ in range(NUM_RUNS)]
    answered_s, num_bytes = min(taken for taken, _ in memory)
    click.echo(
        f"over HTTP, with the rows at hand: {answered_s * 1000:.0f} ms for {num_bytes / MB:.0f} MB"
    )
    click.echo(f"most memory of the gateway: {memory[-1][1]:.0f} MB")


def slices() -> list[tensor_pb2.TensorSlice]:
    """The rows as the service sends them."""
    rows = np.random.default_rng(0).standard_normal((NUM_BASES, WIDTH), np.float32)
    return list(row_slices(rows, max_bytes=SLICE_BYTES))


def stages(pieces: list[tensor_pb2.TensorSlice]) -> tuple[float, float]:
    """Seconds until the file is whole, and until all of it was encoded."""
    started_s = time.perf_counter()
    npz = Npz(Layout.of({f"{LAYER}.output": (1, NUM_BASES, WIDTH)}))
    for piece in pieces:
        npz.add(f"{LAYER}.output", piece)
    file = npz.finish()
    filled_s = time.perf_counter()
    for start in range(0, len(file), BLOCK_BYTES):
        binascii.b2a_base64(file[start : start + BLOCK_BYTES], newline=False)
    return filled_s - started_s, time.perf_counter() - filled_s


class _Ready(ScriptedEvo2):
    """The same rows for every request."""

    def __init__(self, script: Script) -> None:
        super().__init__(script)
        *most, last = (
            pb.ForwardRows(slices=[pb.LayerSlice(layer=LAYER, slice=piece)]) for piece in slices()
        )
        last.last = True
        self._answers = [pb.StreamForwardResponse(rows=rows) for rows in (*most, last)]

    def StreamForward(self, request: Any, context: Any) -> Iterator[pb.StreamForwardResponse]:
        """All of them."""
        yield from self._answers


def serve(port: Any) -> None:
    """A service until killed; tells its port."""
    wide = scripted_evo2.model()
    wide.ClearField("layers")
    wide.layers.add(name=LAYER, width=WIDTH)
    script = Script({wide.name: wide})
    server = grpc.server(ThreadPoolExecutor(4))
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ScriptedModels(script), server)
    evo2_service_pb2_grpc.add_Evo2ServiceServicer_to_server(_Ready(script), server)
    number = server.add_insecure_port("127.0.0.1:0")
    server.start()
    port.put(number)
    server.wait_for_termination()


@contextmanager
def served() -> Iterator[tuple[str, int]]:
    """Where the gateway answers, and its process id."""
    processes = multiprocessing.get_context("spawn")
    port: Any = processes.Queue()
    service = processes.Process(target=serve, args=(port,), daemon=True)
    service.start()
    command = ("-m", "primase_gateway", "--server", f"127.0.0.1:{port.get()}", "--port", "0")
    gateway = subprocess.Popen([sys.executable, *command], stderr=subprocess.PIPE, text=True)
    assert gateway.stderr is not None
    try:
        line = next(line for line in map(json.loads, gateway.stderr) if "port" in line)
        yield f"http://127.0.0.1:{line['port']}/biology/arc/evo2/forward", gateway.pid
    finally:
        gateway.kill()
        service.kill()


def asked(url: str) -> tuple[float, int]:
    """Seconds until the last byte, and how many there were."""
    body = {"sequence": "A" * NUM_BASES, "output_layers": [LAYER]}
    started_s = time.perf_counter()
    with httpx.stream("POST", url, json=body, timeout=60) as answer:
        answer.raise_for_status()
        num_bytes = sum(len(piece) for piece in answer.iter_raw(1 << 20))
    return time.perf_counter() - started_s, num_bytes


def peak_mb(process: int) -> float:
    """The most memory that a process has ever held."""
    status = Path(f"/proc/{process}/status").read_text().splitlines()
    line = next(line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / MB
