"""Health, as an orchestrator and as NIM's own clients ask for it."""

import time

import httpx
import pytest

from primase_gateway.settings import Settings
from tests.gateway.live import gateway
from tests.gateway.scripted import Script, ScriptedServer


@pytest.mark.parametrize("end", ["", "/"])
def test_live(client: httpx.Client, end: str) -> None:
    answer = client.get(f"/v1/health/live{end}")
    assert (answer.status_code, answer.json()) == (200, {"status": "live"})


@pytest.mark.parametrize("end", ["", "/"])
def test_ready(client: httpx.Client, end: str) -> None:
    answer = client.get(f"/v1/health/ready{end}")
    assert (answer.status_code, answer.json()) == (200, {"status": "ready"})


def test_not_ready_does_not_say_ready(client: httpx.Client, service: ScriptedServer) -> None:
    service.serving(False)
    answer = client.get("/v1/health/ready")
    assert (answer.status_code, answer.json()) == (503, {"status": "starting"})
    assert "ready" not in answer.text
    assert client.get("/v1/health/live").status_code == 200


def test_without_a_service(script: Script) -> None:
    with gateway(Settings(server="127.0.0.1:1")) as live:
        started_s = time.monotonic()
        answer = httpx.get(f"{live.url}/v1/health/ready")
        assert (answer.status_code, answer.json()) == (503, {"status": "starting"})
        assert time.monotonic() - started_s < 2
        assert httpx.get(f"{live.url}/v1/health/live").status_code == 200
