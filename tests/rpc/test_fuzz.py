"""Nothing that a client sends makes the server fail, hang or fall silent.

PRIMASE_FUZZ_EXAMPLES sets how many requests of each kind are tried.
"""

import os
from collections.abc import Iterator, Mapping
from typing import Any, cast

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from primase.admin.v1 import admin_service_pb2
from primase.esm2.v1 import esm2_service_pb2
from primase.evo2.v1 import evo2_service_pb2
from primase.models.v1 import model_service_pb2
from primase.progen2.v1 import progen2_service_pb2
from primase.reasons import REASONS
from primase_server.settings import ModelSettings
from tests.rpc.admin import listed, mean_of, with_models
from tests.rpc.any_message import any_message
from tests.rpc.esm2 import UBIQUITIN, encode_request
from tests.rpc.live import Live, Refusal, limited, serving

NUM_EXAMPLES = int(os.environ.get("PRIMASE_FUZZ_EXAMPLES", "20"))
DEADLINE_S = 60.0
KEPT = "esm2-kept"

METHODS: Mapping[str, MethodDescriptor] = {
    method.full_name: method
    for module in (
        model_service_pb2,
        esm2_service_pb2,
        evo2_service_pb2,
        progen2_service_pb2,
        admin_service_pb2,
    )
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
BY_NAME = sorted(METHODS)
"""So that models are loaded before they are reloaded, and then unloaded."""

fuzz = settings(
    max_examples=NUM_EXAMPLES,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.fixture(scope="module")
def fuzzed() -> Iterator[Live]:
    """A server that must be well when all is over."""
    with serving(limited(max_queued_tokens=20_000)) as live:
        yield live
        [encoding] = live.esm2.Encode(encode_request(UBIQUITIN), timeout=DEADLINE_S).encodings
        assert encoding.num_residues == len(UBIQUITIN)
        for name in ("esm2-demo", "evo2-demo", "progen2-demo"):
            state = live.app.host.engine.queue_state(name)
            assert state.queued_tokens == state.queued_bytes == state.queued_items == 0


@pytest.fixture(scope="module")
def administered() -> Iterator[Live]:
    """Another, whose models come and go but for one, which nobody names."""
    with serving(with_models(ModelSettings(KEPT, "fixture"))) as live:
        kept = mean_of(live, KEPT)
        yield live
        assert mean_of(live, KEPT) == kept
        assert all(not model.change for model in listed(live).values())


@pytest.fixture
def live(request: pytest.FixtureRequest, name: str) -> Live:
    """The server that the method `name` is tried on."""
    is_admin = METHODS[name].containing_service.file.package == "primase.admin.v1"
    live: Live = request.getfixturevalue("administered" if is_admin else "fuzzed")
    return live


def send(live: Live, method: MethodDescriptor, data: bytes) -> list[Message]:
    """Every message of the answer. Raises grpc.RpcError."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    parse = GetMessageClass(method.output_type).FromString
    call: Any
    if method.server_streaming:
        call = live.channel.unary_stream(path, response_deserializer=parse)
        return list(call(data, timeout=DEADLINE_S))
    call = live.channel.unary_unary(path, response_deserializer=parse)
    return [call(data, timeout=DEADLINE_S)]


def refused(live: Live, method: MethodDescriptor, data: bytes) -> Refusal | None:
    """How the call was refused, or None; what is refused inside its answer is checked too."""
    try:
        answer = send(live, method, data)
    except grpc.RpcError as error:
        return proper(status_of(error))
    for message in cast(list[Any], answer):
        if method.server_streaming and message.HasField("failed"):
            proper(message.failed)
    return None


def status_of(error: grpc.RpcError) -> Status:
    """What the service said. AssertionError where it was the transport that spoke."""
    status: Status | None = rpc_status.from_call(cast(grpc.Call, error))
    assert status is not None, error
    return status


def proper(status: Status) -> Refusal:
    """A refusal that a client can act on, and that is not the server's fault."""
    refusal = Refusal.of(status)
    assert refusal.code is REASONS[refusal.reason].code
    assert refusal.code not in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)
    assert refusal.code is not grpc.StatusCode.INVALID_ARGUMENT or refusal.fields
    return refusal


@pytest.mark.parametrize("name", BY_NAME)
def test_any_request_is_answered_or_properly_refused(live: Live, name: str) -> None:
    method = METHODS[name]

    @fuzz
    @given(any_message(method.input_type))
    def holds(request: Message) -> None:
        refused(live, method, request.SerializeToString())

    holds()


def damaged(request: Message) -> st.SearchStrategy[bytes]:
    """Its bytes with some of them changed, cut off or doubled."""
    data = request.SerializeToString()
    cut = st.integers(0, len(data)).map(lambda n: data[:n])
    doubled = st.integers(0, len(data)).map(lambda n: data + data[:n])
    places = st.lists(
        st.tuples(st.integers(0, max(0, len(data) - 1)), st.integers(0, 255)), max_size=8
    )
    return st.one_of(cut, doubled, places.map(lambda changes: _changed(data, changes)))


def _changed(data: bytes, changes: list[tuple[int, int]]) -> bytes:
    changed = bytearray(data)
    for place, byte in changes:
        changed[place : place + 1] = bytes([byte])
    return bytes(changed)


@pytest.mark.parametrize("name", BY_NAME)
def test_bytes_that_are_no_request_are_properly_refused(live: Live, name: str) -> None:
    method = METHODS[name]

    @fuzz
    @given(st.one_of(any_message(method.input_type).flatmap(damaged), st.binary(max_size=40)))
    def holds(data: bytes) -> None:
        refused(live, method, data)

    holds()


def test_text_that_is_not_unicode_is_an_invalid_request(fuzzed: Live) -> None:
    method = METHODS["primase.models.v1.ModelService.GetModel"]
    refusal = refused(fuzzed, method, b"\n\x04\xff\xfe\xfd\xfc")
    assert refusal is not None
    assert refusal.fields == {"request": "INVALID_PARAMETER"}
