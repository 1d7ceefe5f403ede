"""Retries, deadlines, tokens and encryption, of both clients."""

import json
import threading
from pathlib import Path
from typing import Any

import grpc
import pytest

from primase import RetryPolicy, TlsOptions, exceptions
from primase.channel import channel_options
from primase.esm2.v1 import esm2_service_pb2 as esm2_pb2
from primase.models.v1 import model_service_pb2 as models_pb2
from tests.certificate import self_signed
from tests.clients.scripted import (
    BOTH_CLIENTS,
    NamedModels,
    ScriptedEsm2,
    abort,
    mean_rows,
    serving,
    status,
)

both_clients = pytest.mark.parametrize("run", BOTH_CLIENTS)
QUICK = RetryPolicy(initial_backoff_s=0.01, max_backoff_s=0.02)
FULL = status(grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL", "full")


class FullAtFirst:
    """Refuses so many calls, then answers."""

    def __init__(self, num_refusals: int, pushback_ms: int | None) -> None:
        self._num_refusals = num_refusals
        self._pushback_ms = pushback_ms

    def __call__(self, request: Any, context: grpc.ServicerContext) -> Any:
        if self._num_refusals:
            self._num_refusals -= 1
            abort(context, FULL, self._pushback_ms)
        return iter([mean_rows(i, bytes(4)) for i, _ in enumerate(request.items)])


def encode(client: Any) -> Any:
    # Larger than what gRPC by default keeps for a retry.
    return client.esm2("m").encode(["A" * 60_000] * 5)


@both_clients
@pytest.mark.parametrize("pushback_ms", [None, 1])
def test_a_full_queue_is_tried_again(run: Any, pushback_ms: int | None) -> None:
    service = ScriptedEsm2(FullAtFirst(3, pushback_ms))
    with serving(esm2=service) as target:
        results = run(target, encode, retry=QUICK)

    assert [result.error for result in results] == [None] * 5
    assert [len(request.items) for request in service.requests] == [4, 4, 4, 4, 1]


@both_clients
def test_a_server_may_forbid_the_retry(run: Any) -> None:
    service = ScriptedEsm2(FullAtFirst(1, -1))
    with serving(esm2=service) as target, pytest.raises(exceptions.QueueFull, match="full"):
        run(target, encode, retry=QUICK)

    assert len(service.requests) == 1


@both_clients
def test_retries_can_be_turned_off(run: Any) -> None:
    service = ScriptedEsm2(FullAtFirst(1, None))
    with serving(esm2=service) as target, pytest.raises(exceptions.QueueFull):
        run(target, encode, retry=None)

    assert len(service.requests) == 1


def test_the_service_config_names_what_is_tried_again() -> None:
    once, method = json.loads(RetryPolicy(max_attempts=3).service_config())["methodConfig"]
    assert once == {"name": [{"service": "primase.admin.v1.AdminService"}]}

    assert method["name"] == [{}]
    assert method["retryPolicy"] == {
        "maxAttempts": 3,
        "initialBackoff": "0.25s",
        "maxBackoff": "10.0s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED"],
    }


@both_clients
def test_a_name_of_many_servers_is_one_target(run: Any) -> None:
    service = ScriptedEsm2(FullAtFirst(1, None))
    with serving(esm2=service) as target:
        port = target.rpartition(":")[2]
        run(f"dns:///127.0.0.1:{port}", encode, retry=QUICK)

    assert [len(request.items) for request in service.requests] == [4, 4, 1]


def test_calls_are_spread_where_a_name_is_resolved() -> None:
    spread = ("grpc.lb_policy_name", "round_robin")

    assert spread in channel_options("dns:///primase-grpc:50051", None)
    assert spread not in channel_options("localhost:50051", None)


@both_clients
def test_nobody_listening_is_unavailable(run: Any) -> None:
    with serving() as target:
        pass
    with pytest.raises(exceptions.Unavailable) as caught:
        run(target, encode, retry=None)

    assert caught.value.retryable
    assert caught.value.reason == ""


@both_clients
def test_a_server_without_the_service_does_not_serve_it(run: Any) -> None:
    with serving() as target, pytest.raises(exceptions.NotServed):
        run(target, encode)


@both_clients
def test_the_deadline_is_the_callers(run: Any) -> None:
    def wait_for_the_end(request: Any, context: grpc.ServicerContext) -> Any:
        over = threading.Event()
        if context.add_callback(over.set):
            over.wait()
        return iter(())

    with (
        serving(esm2=ScriptedEsm2(wait_for_the_end)) as target,
        pytest.raises(exceptions.DeadlineExceeded),
    ):
        run(target, encode, timeout_s=0.2, retry=None)


@both_clients
def test_a_deadline_can_be_that_of_some_calls(run: Any) -> None:
    left_s: list[float] = []

    def note(request: Any, context: grpc.ServicerContext) -> Any:
        left_s.append(context.time_remaining())
        return models_pb2.GetModelResponse()

    with serving(models=NamedModels(note)) as target:
        run(target, lambda c: c.within(50).model("m"), timeout_s=500)
        run(target, lambda c: c.within(None).model("m"), timeout_s=50)
        run(target, lambda c: (c.within(50), c)[1].model("m"), timeout_s=500)
    assert 40 < left_s[0] < 60
    assert left_s[1] > 1000
    assert 400 < left_s[2] < 600


@both_clients
def test_the_token_is_sent_with_every_call(run: Any) -> None:
    seen: list[Any] = []

    def note(request: Any, context: grpc.ServicerContext) -> Any:
        seen.append(dict(context.invocation_metadata())["authorization"])
        if isinstance(request, esm2_pb2.PredictRequest):
            return esm2_pb2.PredictResponse(predictions=[esm2_pb2.Prediction()])
        return iter([mean_rows(0, bytes(4))])

    with serving(esm2=ScriptedEsm2(note)) as target:
        run(target, lambda c: c.esm2("m").encode("MK"), token="secret")
        run(target, lambda c: c.esm2("m").predict("<mask>"), token="secret")

    assert seen == ["Bearer secret", "Bearer secret"]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for localhost, and its key."""
    return self_signed(tmp_path_factory.mktemp("tls"))


@both_clients
def test_encrypted_and_with_a_certificate_of_the_client(
    run: Any, certificate: tuple[Path, Path]
) -> None:
    cert, key = certificate
    credentials = grpc.ssl_server_credentials(
        [(key.read_bytes(), cert.read_bytes())], cert.read_bytes(), require_client_auth=True
    )
    service = ScriptedEsm2(FullAtFirst(0, None))
    with serving(esm2=service, credentials=credentials) as target:
        tls = TlsOptions(ca_file=cert, cert_file=cert, key_file=key)
        assert len(run(target, encode, tls=tls)) == 5
        with pytest.raises(exceptions.Unavailable):
            run(target, encode, tls=TlsOptions(ca_file=cert), retry=None)


def test_a_certificate_needs_its_key() -> None:
    with pytest.raises(ValueError, match="go together"):
        TlsOptions(cert_file="cert.pem")
