"""Processes that are killed, and what takes their place."""

import os
import signal
from collections.abc import Iterator, Sequence

import httpx
import pytest

import primase
from primase.exceptions import Unavailable
from tests.conditions import until
from tests.e2e.proteins import DOCUMENTED
from tests.e2e.server import Server, serving
from tests.processes import children

MODEL = "esm2-8m"
FIXTURE = ("--model", f"{MODEL}=fixture", "--withdraw-s=0")
BODY = {"items": [{"sequence": DOCUMENTED}]}
PATH = f"/api/v2/{MODEL}/encode"


@pytest.fixture
def doomed() -> Iterator[Server]:
    with serving(*FIXTURE) as running:
        yield running


def test_a_killed_gateway_is_started_again(doomed: Server) -> None:
    [gateway] = children(doomed.process.pid)
    os.kill(gateway, signal.SIGKILL)
    died = doomed.log.wait_for(lambda line: line.get("event") == "gateway_died", 20)
    assert died["exit_code"] == -signal.SIGKILL
    # Nobody is refused meanwhile: the socket is that of the parent.
    assert httpx.post(doomed.url + PATH, json=BODY, timeout=60).status_code == 200
    assert [*children(doomed.process.pid)] != [gateway]
    doomed.terminate()
    assert doomed.wait() == 0


def test_a_killed_server_can_be_started_again_where_it_was(doomed: Server) -> None:
    ports: Sequence[str] = (
        f"--grpc-port={doomed.grpc_port}",
        f"--rest-port={doomed.rest_port}",
    )
    with primase.connect(doomed.target, retry=None) as client:
        results = client.esm2(MODEL).encode([(DOCUMENTED * 8)[:2000]] * 500)
        next(results)
        doomed.process.kill()
        with pytest.raises(Unavailable):
            list(results)
        assert doomed.wait() == -signal.SIGKILL
        with serving(*FIXTURE, ports=ports) as again:
            # The same client finds it.
            def answered() -> bool:
                try:
                    [result] = client.esm2(MODEL).encode([DOCUMENTED])
                except Unavailable:
                    return False
                return result.value.num_residues == len(DOCUMENTED)

            until(answered, timeout_s=30)
            assert httpx.post(again.url + PATH, json=BODY, timeout=60).status_code == 200
