"""What every call is wrapped in, seen from the other end of a real connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from primase.esm2.v1 import esm2_service_pb2 as pb
from primase.esm2.v1 import esm2_service_pb2_grpc
from primase_server.engine.engine import QueueState, Ticket
from primase_server.engine.generation import GenerationJob
from primase_server.engine.job import Job
from primase_server.errors import OutOfMemory, PrimaseError, QueueFull, QuotaExceeded
from primase_server.models.esm2 import weights
from primase_server.models.esm2.runner import Esm2Runner
from primase_server.models.given_weights import FixtureWeights
from primase_server.models.registry import Registry, ServedModel
from primase_server.rpc.call import Call
from primase_server.rpc.health import Health
from primase_server.rpc.server import add_services, build_server, listen
from primase_server.settings import Limits, Listen

REQUEST = pb.EncodeRequest(model="esm2-fixture", items=[pb.EncodeItem(sequence="MSILV")])


if TYPE_CHECKING:
    # The stub's type has no name at run time.
    Ask = Callable[[esm2_service_pb2_grpc.Esm2ServiceAsyncStub], Awaitable[object]]


class RefusingEngine:
    """Refuses every job with the same error, and counts how often it was asked."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.num_submitted = 0

    def submit(self, job: Job | GenerationJob) -> Ticket:
        self.num_submitted += 1
        raise self.error

    def queue_state(self, name: str) -> QueueState:
        return QueueState(0, 0, 0, 0, 0.0)

    async def drain(self, timeout_s: float) -> None:
        """Nothing is ever queued."""

    async def close(self) -> None:
        """Nothing is open."""


class OneModel:
    """What a server answers for."""

    def __init__(self, engine: RefusingEngine, registry: Registry) -> None:
        self.health = Health(registry)
        self._engine = engine
        self._registry = registry

    def add_services(self, server: grpc.aio.Server) -> None:
        add_services(server, self._engine, self._registry, Limits())

    async def end_calls(self) -> None:
        """Nothing is open."""


class RecordingObserver:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []

    def call_finished(self, call: Call) -> None:
        assert call.elapsed_ms >= 0
        self.calls.append((call.method, call.outcome))


@asynccontextmanager
async def stub_of(
    engine: RefusingEngine, observer: RecordingObserver | None = None
) -> AsyncIterator[esm2_service_pb2_grpc.Esm2ServiceAsyncStub]:
    """A client of a server on that engine, with the fixture model ready."""
    loaded = weights.load(FixtureWeights())
    served = ServedModel("esm2-fixture", "esm2", "fixture")
    served.set_ready(Esm2Runner(loaded.model, loaded.weights))
    registry = Registry((served,))
    server = build_server(OneModel(engine, registry), Limits(), observer)
    port = listen(server, Listen("127.0.0.1", 0))
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield esm2_service_pb2_grpc.Esm2ServiceStub(channel)
    finally:
        await server.stop(None)


def fail(error: Exception, ask: Ask) -> grpc.aio.AioRpcError:
    """The error that a caller gets from an engine that refuses with `error`."""

    async def run() -> grpc.aio.AioRpcError:
        async with stub_of(RefusingEngine(error)) as stub:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await ask(stub)
            return caught.value

    return asyncio.run(run())


def trailers(error: grpc.aio.AioRpcError) -> dict[str, str | bytes]:
    return {str(key): value for key, value in error.trailing_metadata() or ()}


def test_the_callers_request_id_comes_back_with_the_error() -> None:
    error = fail(
        QueueFull("no room", retry_after_s=1.0),
        lambda stub: stub.Encode(REQUEST, metadata=(("x-request-id", "mine-1"),)),
    )
    assert trailers(error)["x-request-id"] == "mine-1"
    status = rpc_status.from_call(error)  # type: ignore[arg-type]  # typed for blocking calls only
    assert status is not None
    info = error_details_pb2.RequestInfo()
    assert any(detail.Unpack(info) for detail in status.details)
    assert info.request_id == "mine-1"


@pytest.mark.parametrize("given", ["", "two words", "x" * 129, "tab\there"])
def test_a_request_id_that_would_spoil_a_log_is_replaced(given: str) -> None:
    error = fail(
        QueueFull("no room", retry_after_s=1.0),
        lambda stub: stub.Encode(REQUEST, metadata=(("x-request-id", given.replace("\t", " ")),)),
    )
    assert len(trailers(error)["x-request-id"]) == 32


@pytest.mark.parametrize(
    ("error", "pushback"),
    [
        (QueueFull("no room", retry_after_s=1.5), "1500"),
        (QuotaExceeded("spent", retry_after_s=60.0), "60000"),
        (OutOfMemory("too large for the device"), "-1"),
    ],
)
def test_a_refusal_says_when_a_retry_may_come(error: PrimaseError, pushback: str) -> None:
    refused = fail(error, lambda stub: stub.Encode(REQUEST))
    assert refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert trailers(refused)["grpc-retry-pushback-ms"] == pushback


def test_a_fault_of_ours_tells_nothing_of_our_insides() -> None:
    error = fail(RuntimeError("secret MSILV in /srv/models"), lambda stub: stub.Encode(REQUEST))
    assert error.code() is grpc.StatusCode.INTERNAL
    assert error.details() == "the server failed on this request; its log says why"


def test_every_call_is_observed_with_how_it_ended() -> None:
    observer = RecordingObserver()

    async def run() -> None:
        engine = RefusingEngine(QueueFull("no room", retry_after_s=1.0))
        async with stub_of(engine, observer) as stub:
            for request in (REQUEST, pb.EncodeRequest(model="esm2-fixture")):
                with pytest.raises(grpc.aio.AioRpcError):
                    await stub.Encode(request)
        assert engine.num_submitted == 1

    asyncio.run(run())
    method = "/primase.esm2.v1.Esm2Service/Encode"
    assert observer.calls == [(method, "QUEUE_FULL"), (method, "INVALID_PARAMETER")]
