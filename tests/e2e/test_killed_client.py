"""A client that dies in the middle of a stream takes its work with it."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

import primase
from tests.conditions import until
from tests.e2e.proteins import DOCUMENTED
from tests.e2e.server import Server

NUM_RESIDUES = 2000
NUM_ITEMS = 500

# Says when its first result is there, and then reads as fast as it can.
OVER_GRPC = f"""
import sys, primase
with primase.connect(sys.argv[1]) as client:
    sequences = [{DOCUMENTED!r} * 8] * {NUM_ITEMS}
    for result in client.esm2("esm2-8m").encode([s[:{NUM_RESIDUES}] for s in sequences]):
        print(result.index, flush=True)
"""
# Says when its request has left.
OVER_REST = f"""
import http.client, json, sys
connection = http.client.HTTPConnection(sys.argv[1])
items = [{{"sequence": ({DOCUMENTED!r} * 8)[:{NUM_RESIDUES}]}}] * 8
connection.request("POST", "/api/v2/esm2-8m/encode", json.dumps({{"items": items}}))
print("sent", flush=True)
connection.getresponse()
"""


@contextmanager
def killed_afterwards(program: str, target: str) -> Iterator[None]:
    """The program, from when it first speaks."""
    with subprocess.Popen(
        [sys.executable, "-c", program, target], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        yield
        process.kill()


def test_over_grpc_its_queued_work_is_freed(client: primase.Client, server: Server) -> None:
    with killed_afterwards(OVER_GRPC, server.target):
        assert queued_tokens(client) > 0
    # All of its work would take minutes.
    until(lambda: queued_tokens(client) == 0, timeout_s=20)
    [result] = client.esm2("esm2-8m").encode(DOCUMENTED)
    assert result.value.num_residues == len(DOCUMENTED)


def test_over_rest_too(client: primase.Client, server: Server, rest: httpx.Client) -> None:
    with killed_afterwards(OVER_REST, f"127.0.0.1:{server.rest_port}"):
        until(lambda: queued_tokens(client) > 0, timeout_s=20)
    server.log.wait_for(lambda line: line.get("status") == 499, 20)
    until(lambda: queued_tokens(client) == 0, timeout_s=20)
    body = {"items": [{"sequence": DOCUMENTED}]}
    assert rest.post("/api/v2/esm2-8m/encode", json=body).status_code == 200


def queued_tokens(client: primase.Client) -> int:
    """Tokens that wait or run."""
    return client.model("esm2-8m").num_queued_tokens
