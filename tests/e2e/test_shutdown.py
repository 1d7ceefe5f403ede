"""SIGTERM under load loses nothing; a second signal does not wait."""

import json
import signal
import time
from collections.abc import Iterator
from http.client import HTTPConnection

import grpc
import httpx
import pytest

import primase
from primase.esm2.v1 import esm2_service_pb2 as pb
from primase.esm2.v1.esm2_service_pb2_grpc import Esm2ServiceStub
from primase.exceptions import Unavailable
from primase.models.v1 import model_service_pb2 as models_pb
from primase.models.v1.model_service_pb2_grpc import ModelServiceStub
from tests.conditions import until
from tests.e2e.proteins import DOCUMENTED
from tests.e2e.server import Server, serving
from tests.health import NOT_SERVING, SERVING, health

MODEL = "esm2-650m"
NUM_RESIDUES = 2000
# Takes a third of a second, so that a few of them are caught at work.
PROTEIN = (DOCUMENTED * 8)[:NUM_RESIDUES]
NUM_REQUESTS_OF_EACH_KIND = 4
NUM_PASSES = 4 * (2 + 2 + 3)
# More work than any test waits for.
NUM_SLOW_ITEMS = 500
FORCED_EXIT_STATUS = 130


@pytest.fixture
def doomed() -> Iterator[Server]:
    with serving("--demo", "--withdraw-s=0.5") as running:
        yield running


def post(server: Server) -> HTTPConnection:
    """A connection whose request has been sent whole."""
    connection = HTTPConnection("127.0.0.1", server.rest_port, timeout=120)
    items = [{"sequence": PROTEIN}, {"sequence": PROTEIN}]
    connection.request("POST", f"/api/v2/{MODEL}/encode", json.dumps({"items": items}))
    return connection


def queued_tokens(channel: grpc.Channel) -> int:
    """Tokens that wait or run."""
    request = models_pb.GetModelRequest(model=MODEL)
    return ModelServiceStub(channel).GetModel(request, timeout=30).model.num_queued_tokens


def test_whatever_is_in_flight_is_answered(doomed: Server) -> None:
    masked = [pb.PredictItem(sequence=PROTEIN[:-1] + "<mask>")] * 2
    plain = [pb.EncodeItem(sequence=PROTEIN)] * 3
    each = range(NUM_REQUESTS_OF_EACH_KIND)
    with grpc.insecure_channel(doomed.target) as channel:
        stub = Esm2ServiceStub(channel)
        posted = [post(doomed) for _ in each]
        streams = [
            stub.StreamEncode(pb.StreamEncodeRequest(model=MODEL, items=plain), timeout=120)
            for _ in each
        ]
        unary = [
            stub.Predict.future(pb.PredictRequest(model=MODEL, items=masked), timeout=120)
            for _ in each
        ]
        # Some work of every kind is waiting: there is more than all but one kind would be.
        until(lambda: queued_tokens(channel) > (NUM_PASSES - 8) * (NUM_RESIDUES + 2))
        assert all(call.is_active() for call in (*streams, *unary))
        doomed.terminate()
        predicted = [call.result().predictions for call in unary]
        assert [[len(p.masks) for p in predictions] for predictions in predicted] == [
            [1, 1] for _ in each
        ]
        assert [[r.rows.last for r in stream] for stream in streams] == [[True] * 3 for _ in each]
    for connection in posted:
        answer = connection.getresponse()
        assert answer.status == 200
        assert len(json.load(answer)["results"]) == 2
        connection.close()
    assert doomed.wait() == 0
    assert doomed.log.wait_for(lambda line: line.get("event") == "stopped", 0)
    assert not [text for text in doomed.log.text if "Traceback" in text]


def test_health_says_so_at_once_and_calls_are_still_answered() -> None:
    with (
        serving("--demo", "--withdraw-s=60") as server,
        grpc.insecure_channel(server.target) as channel,
        httpx.Client(base_url=server.url, timeout=30) as client,
    ):
        assert health(channel) == SERVING
        assert client.get("/v1/health/ready").status_code == 200

        server.terminate()
        server.log.wait_for(lambda line: line.get("event") == "withdrawing", 10)
        assert health(channel) == NOT_SERVING
        answer = client.get("/v1/health/ready")
        assert answer.status_code == 503
        assert "ready" not in answer.text
        assert client.get("/v1/health/live").status_code == 200
        items = {"items": [{"sequence": "MSILV"}]}
        assert client.post("/api/v2/esm2-8m/encode", json=items).status_code == 200


def test_a_second_signal_ends_it_promptly(doomed: Server) -> None:
    with primase.connect(doomed.target, retry=None) as client:
        results = client.esm2(MODEL).encode([PROTEIN] * NUM_SLOW_ITEMS)
        next(results)
        doomed.terminate()
        doomed.log.wait_for(lambda line: line.get("event") == "withdrawing", 10)
        signalled_s = time.monotonic()
        doomed.process.send_signal(signal.SIGINT)
        assert doomed.wait(timeout_s=20) == FORCED_EXIT_STATUS
        assert time.monotonic() - signalled_s < 5


def test_work_beyond_the_grace_period_is_given_up_with_a_reason() -> None:
    with (
        serving("--demo", "--withdraw-s=0", "--grace-s=0.5") as server,
        primase.connect(server.target, retry=None) as client,
    ):
        results = client.esm2(MODEL).encode([PROTEIN] * NUM_SLOW_ITEMS)
        next(results)
        server.terminate()
        with pytest.raises(Unavailable) as given_up:
            list(results)
        assert given_up.value.reason == "SHUTTING_DOWN"
        assert server.wait() == 0


def test_when_the_server_is_killed_its_gateway_goes_too(doomed: Server) -> None:
    doomed.process.kill()
    assert doomed.wait(timeout_s=20) == -signal.SIGKILL
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{doomed.url}/v1/health/live")
