"""Keys, seen from the other end of a real connection."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

import primase
from primase.esm2.v1 import esm2_service_pb2 as esm2_pb
from primase.evo2.v1 import evo2_service_pb2 as evo2_pb
from primase.exceptions import Unauthenticated
from primase.models.v1 import model_service_pb2 as models_pb
from primase.progen2.v1 import progen2_service_pb2 as progen2_pb
from primase_server.settings import Access
from tests.access.keys import add_key
from tests.health import SERVING, health
from tests.rpc.esm2 import MODEL, UBIQUITIN, encode_request, stream_request
from tests.rpc.live import SETTINGS, Live, refusal, serving

SERVICES = (
    models_pb.DESCRIPTOR.services_by_name["ModelService"],
    esm2_pb.DESCRIPTOR.services_by_name["Esm2Service"],
    evo2_pb.DESCRIPTOR.services_by_name["Evo2Service"],
    progen2_pb.DESCRIPTOR.services_by_name["ProGen2Service"],
)
Metadata = tuple[tuple[str, str], ...]
METHODS = [method for service in SERVICES for method in service.methods]


@dataclass(frozen=True)
class Guarded:
    """A service that asks for keys, and one of them."""

    live: Live
    key: str


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    path = tmp_path_factory.mktemp("keys") / "keys.toml"
    key = add_key(path, "lab")
    with serving(replace(SETTINGS, access=Access(path))) as running:
        yield Guarded(running, key)


def bearer(key: str) -> Metadata:
    return (("authorization", f"Bearer {key}"),)


def asking(live: Live, method: Any) -> Callable[[Metadata], object]:
    """Calls a method of the contract with nothing in the request."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    make = live.channel.unary_stream if method.server_streaming else live.channel.unary_unary
    call = make(path, request_serializer=bytes, response_deserializer=bytes)
    return lambda metadata: call(b"", metadata=metadata)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: str(method.full_name))
def test_every_call_wants_a_key_before_it_reads_the_request(guarded: Guarded, method: Any) -> None:
    call = asking(guarded.live, method)
    for metadata in ((), bearer("primase_wrong"), (("authorization", guarded.key),)):
        refused = refusal(partial(call, metadata))
        assert refused.code is grpc.StatusCode.UNAUTHENTICATED
        assert refused.reason == "UNAUTHENTICATED"


def test_a_key_lets_in(guarded: Guarded) -> None:
    answer = guarded.live.esm2.Encode(encode_request("MKT"), metadata=bearer(guarded.key))
    assert answer.model == "esm2-demo"
    token = (("authorization", f"Token {guarded.key}"),)
    assert list(guarded.live.esm2.StreamEncode(stream_request("MKT"), metadata=token))


def test_our_client_gives_its_token(guarded: Guarded) -> None:
    target = f"127.0.0.1:{guarded.live.app.grpc_port}"
    with primase.connect(target, token=guarded.key, timeout_s=30) as client:
        [result] = client.esm2(MODEL).encode(["MKT"])
        assert result.error is None
    with primase.connect(target, timeout_s=30) as client, pytest.raises(Unauthenticated):
        client.models()


def test_reflection_wants_a_key_and_health_does_not(guarded: Guarded) -> None:
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(guarded.live.channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    refused = refusal(lambda: stub.ServerReflectionInfo(iter([request]), timeout=30))
    assert refused.reason == "UNAUTHENTICATED"
    [answer] = stub.ServerReflectionInfo(iter([request]), timeout=30, metadata=bearer(guarded.key))
    assert len(answer.list_services_response.service) >= 6
    assert health(guarded.live.channel) == SERVING


def test_a_large_request_without_a_key_is_not_looked_at(guarded: Guarded) -> None:
    wrong = encode_request(*["?" * 60_000] * 20)
    assert refusal(lambda: guarded.live.esm2.Encode(wrong)).reason == "UNAUTHENTICATED"
    known = refusal(lambda: guarded.live.esm2.Encode(wrong, metadata=bearer(guarded.key)))
    assert known.code is grpc.StatusCode.INVALID_ARGUMENT


def test_the_log_has_the_name_of_the_key_and_nothing_of_the_key(
    guarded: Guarded, capsys: pytest.CaptureFixture[str]
) -> None:
    refusal(lambda: guarded.live.esm2.Encode(encode_request("M"), metadata=bearer("primase_no")))
    guarded.live.esm2.Encode(encode_request(UBIQUITIN), metadata=bearer(guarded.key))
    written = capsys.readouterr()
    logged = written.out + written.err
    assert "lab" in logged
    assert "UNAUTHENTICATED" in logged
    assert guarded.key[:20] not in logged
    assert "primase_no" not in logged
