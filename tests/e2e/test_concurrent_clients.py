"""64 clients at once over gRPC and REST, each with its own proteins: all right, none lost."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

import primase
from primase.esm2_client import Esm2
from tests.e2e.proteins import uniprot_500
from tests.e2e.server import Server

NUM_CLIENTS = 64
CALLS_PER_CLIENT = 2
TOLERANCE = 1e-4

Means = Sequence[NDArray[Any]]


def proteins_of(client: int) -> list[str]:
    """Two proteins, mostly of different lengths."""
    usable = [p.sequence for p in uniprot_500() if len(p.sequence) <= 1200]
    return [usable[(client + NUM_CLIENTS * call) % len(usable)] for call in range(CALLS_PER_CLIENT)]


def over_grpc(server: Server, sequences: Sequence[str], start: Barrier) -> Means:
    with primase.connect(server.target, timeout_s=120) as client:
        start.wait(60)
        return [result.value.mean[6] for result in client.esm2("esm2-8m").encode(sequences)]


def over_rest(server: Server, sequences: Sequence[str], start: Barrier) -> Means:
    with httpx.Client(base_url=server.url, timeout=120) as client:
        start.wait(60)
        answers = [answered(client, sequence) for sequence in sequences]
    results = [answer.raise_for_status().json()["results"][0] for answer in answers]
    return [np.array(result["mean_representations"]["6"], np.float32) for result in results]


def answered(client: httpx.Client, sequence: str) -> httpx.Response:
    """Who is told to come back does."""
    while True:
        request = {"items": [{"sequence": sequence}]}
        answer = client.post("/api/v2/esm2-8m/encode", json=request)
        if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
            return answer
        time.sleep(int(answer.headers["retry-after"]))


@pytest.fixture
def serially(esm2: Esm2) -> dict[str, NDArray[Any]]:
    """The mean of every protein that is sent, each from a call of its own."""
    sequences = {s for client in range(NUM_CLIENTS) for s in proteins_of(client)}
    return {s: next(iter(esm2.encode(s))).value.mean[6] for s in sequences}


def test_every_client_gets_its_own_right_answers(
    server: Server, serially: dict[str, NDArray[Any]]
) -> None:
    start = Barrier(NUM_CLIENTS)
    with ThreadPoolExecutor(NUM_CLIENTS) as threads:
        running = [
            threads.submit(over_rest if client % 2 else over_grpc, server, sequences, start)
            for client, sequences in enumerate(map(proteins_of, range(NUM_CLIENTS)))
        ]
        answers = [future.result(180) for future in running]
    for client, means in enumerate(answers):
        for sequence, mean in zip(proteins_of(client), means, strict=True):
            expected = serially[sequence]
            assert np.abs(mean - expected).max() <= TOLERANCE * np.abs(expected).max()
