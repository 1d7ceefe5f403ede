"""Health, as an orchestrator and as NIM's own clients ask for it."""

import time

import httpx
import pytest

from primase.models.v1 import model_service_pb2 as models_pb
from primase_gateway.settings import Settings
from tests.gateway import scripted, scripted_evo2
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


STATES = [
    (models_pb.MODEL_STATE_READY, (200, "ready"), (200, "live")),
    (models_pb.MODEL_STATE_LOADING, (503, "starting"), (200, "live")),
    (models_pb.MODEL_STATE_UNVERIFIED, (503, "starting"), (200, "live")),
    (models_pb.MODEL_STATE_FAILED, (503, "unhealthy"), (503, "unhealthy")),
]


@pytest.mark.parametrize(("state", "ready", "live"), STATES)
def test_item_12_the_model_of_the_nim_routes(
    service: ScriptedServer,
    state: models_pb.ModelState.ValueType,
    ready: tuple[int, str],
    live: tuple[int, str],
) -> None:
    model = scripted_evo2.model()
    model.state = state
    service.reset([model])
    with gateway(Settings(server=service.address, nim_model="evo2-7b")) as running:
        for path, (http_status, word) in (("ready", ready), ("live", live)):
            answer = httpx.get(f"{running.url}/v1/health/{path}")
            assert (answer.status_code, answer.json()) == (http_status, {"status": word})
            assert (word == "ready") == ("ready" in answer.text)


def test_the_model_of_the_nim_routes_alone_counts(service: ScriptedServer) -> None:
    loading = scripted.model("esm2-8m")
    loading.state = models_pb.MODEL_STATE_LOADING
    service.reset([loading, scripted_evo2.model()])
    with gateway(Settings(server=service.address, nim_model="evo2-7b")) as running:
        assert httpx.get(f"{running.url}/v1/health/ready").status_code == 200
        service.serving(False)
        assert httpx.get(f"{running.url}/v1/health/ready").json() == {"status": "starting"}
        service.reset([scripted.model("esm2-8m")])
        assert httpx.get(f"{running.url}/v1/health/ready").json() == {"status": "starting"}


def test_one_failed_model_of_two_is_no_reason_to_start_again(
    client: httpx.Client, service: ScriptedServer
) -> None:
    failed = scripted.model("esm2-35m")
    failed.state = models_pb.MODEL_STATE_FAILED
    service.script.models["esm2-35m"] = failed
    service.serving(False)
    assert client.get("/v1/health/live").status_code == 200
    assert client.get("/v1/health/ready").json() == {"status": "starting"}
    service.script.models["esm2-8m"].state = models_pb.MODEL_STATE_FAILED
    assert client.get("/v1/health/live").json() == {"status": "unhealthy"}
    assert client.get("/v1/health/ready").json() == {"status": "unhealthy"}
