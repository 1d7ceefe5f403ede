"""How long a health check takes while the device is busy.

A random-weight 150M encodes proteins of 1,000 residues for several clients at once; meanwhile gRPC
health and REST readiness are asked again and again. The figure that counts is the 99th percentile.
"""

import statistics
import threading
import time
from collections.abc import Callable

import click
import grpc
import httpx

from primase.esm2.v1 import esm2_service_pb2 as pb
from primase.esm2.v1 import esm2_service_pb2_grpc
from tests.e2e.server import Server, serving
from tests.health import SERVING, health

MODEL = "esm2-150m"
NUM_CLIENTS = 4
NUM_PROBES = 500
PROBE_INTERVAL_S = 0.02
PROTEIN = ("MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQAPILSRVGDGTQDNLSGAEKAVQVKVKALPDAQFEVV" * 15)[:1000]


def main() -> None:
    with (
        serving("--model", f"{MODEL}=random", "--withdraw-s", "0") as server,
        httpx.Client(timeout=60) as http,
        grpc.insecure_channel(server.target) as channel,
    ):

        def ask_grpc() -> None:
            assert health(channel) == SERVING

        def ask_rest() -> None:
            assert http.get(f"{server.url}/v1/health/ready").status_code == 200

        probes = {"gRPC health": ask_grpc, "REST ready": ask_rest}
        for name, ask in probes.items():
            report(f"{name}, idle", measure(ask))
        with Load(server) as load:
            for name, ask in probes.items():
                report(f"{name}, busy", measure(ask))
        click.echo(f"proteins encoded meanwhile: {load.num_encoded}")


def measure(ask: Callable[[], None]) -> list[float]:
    """Milliseconds of each probe, sorted."""
    taken_ms = []
    for _ in range(NUM_PROBES):
        started_s = time.perf_counter()
        ask()
        taken_ms.append((time.perf_counter() - started_s) * 1000)
        time.sleep(PROBE_INTERVAL_S)
    return sorted(taken_ms)


def report(name: str, taken_ms: list[float]) -> None:
    median, p99, most = statistics.median(taken_ms), taken_ms[int(0.99 * NUM_PROBES)], taken_ms[-1]
    click.echo(f"{name:22} median {median:6.2f} ms   p99 {p99:6.2f} ms   max {most:6.2f} ms")


class Load:
    """Clients that encode one protein after another until told to stop."""

    def __init__(self, server: Server) -> None:
        self.num_encoded = 0
        self._target = server.target
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._encode) for _ in range(NUM_CLIENTS)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _encode(self) -> None:
        request = pb.EncodeRequest(model=MODEL, items=[pb.EncodeItem(sequence=PROTEIN)])
        with grpc.insecure_channel(self._target) as channel:
            stub = esm2_service_pb2_grpc.Esm2ServiceStub(channel)
            while not self._stopping.is_set():
                stub.Encode(request)
                self.num_encoded += 1
