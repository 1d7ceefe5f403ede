"""The way to one replica: a channel, its calls, and what it reports of itself."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import grpc
import structlog

from primase.cluster.v1 import replica_service_pb2 as pb
from primase.cluster.v1.replica_service_pb2_grpc import ReplicaServiceStub
from primase_server.cluster.replicas import ReplicaHandle, ReplicaLoad
from primase_server.cluster.trust import TLS_NAME, TOKEN_HEADER, Trust
from primase_server.engine.engine import QueueState
from primase_server.errors import PrimaseError

if TYPE_CHECKING:
    from primase.cluster.v1.replica_service_pb2_grpc import ReplicaServiceAsyncStub

log = structlog.get_logger()

# A replica reports once a second even when nothing changes.
SILENT_S = 5.0
RECONNECT_S = 0.2
KEEPALIVE_MS = 15_000
KEEPALIVE_TIMEOUT_MS = 5_000

OPTIONS: tuple[tuple[str, str | int], ...] = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # Which replica a call goes to next is not for the library to say.
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.keepalive_time_ms", KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)

UnaryCall = grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
StreamCall = grpc.aio.UnaryStreamMultiCallable[bytes, bytes]
Reported = Callable[[ReplicaHandle, ReplicaLoad], None]

EMPTY = QueueState(0, 0, 0, 0, 0.0)


class Link:
    """A channel to one replica. For one event loop.

    queue: as it last reported. num_calls: that are open on it. given_up: why those that were open
    have been ended from here.
    """

    def __init__(self, handle: ReplicaHandle, trust: Trust, reported: Reported) -> None:
        self.handle = handle
        self.queue = EMPTY
        self.num_calls = 0
        self.given_up: PrimaseError | None = None
        self.is_idle = asyncio.Event()
        self.is_idle.set()
        self._trust = trust
        self._reported = reported
        self._is_withdrawn = False
        self._channel = _channel(handle.address, trust)
        self._unary: dict[str, UnaryCall] = {}
        self._streams: dict[str, StreamCall] = {}
        self._watching = asyncio.create_task(self._watch(), name=f"load of {handle.replica_id}")

    def unary(self, method: str) -> UnaryCall:
        """Calls a method with bytes, and gives bytes."""
        if method not in self._unary:
            self._unary[method] = self._channel.unary_unary(method)
        return self._unary[method]

    def stream(self, method: str) -> StreamCall:
        """The same of a method that answers with a stream."""
        if method not in self._streams:
            self._streams[method] = self._channel.unary_stream(method)
        return self._streams[method]

    def begin(self) -> None:
        """One more call is open."""
        self.num_calls += 1
        self.is_idle.clear()

    def end(self) -> None:
        """One call less."""
        self.num_calls -= 1
        if not self.num_calls:
            self.is_idle.set()

    def withdraw(self) -> None:
        """It gets no more calls; the channel closes once the replica is gone."""
        self._is_withdrawn = True

    async def close(self, why: PrimaseError | None = None) -> None:
        """End all that is open on it."""
        self.given_up = why
        self._watching.cancel()
        with suppress(asyncio.CancelledError):
            await self._watching
        await self._channel.close()

    async def _watch(self) -> None:
        while True:
            try:
                await self._read_reports()
            except TimeoutError:
                if self._is_withdrawn and not self.num_calls:
                    break
                log.warning("replica_silent", replica=self.handle.replica_id, for_s=SILENT_S)
            except grpc.aio.AioRpcError as error:
                if self._is_withdrawn:
                    break
                log.info(
                    "replica_unreachable", replica=self.handle.replica_id, code=error.code().name
                )
            self.queue = EMPTY
            self._reported(self.handle, ReplicaLoad(is_ready=False, detail="it cannot be reached"))
            await asyncio.sleep(RECONNECT_S)
        await self._channel.close()

    async def _read_reports(self) -> None:
        stub: ReplicaServiceAsyncStub = ReplicaServiceStub(self._channel)
        call = stub.WatchLoad(
            pb.WatchLoadRequest(),
            metadata=((TOKEN_HEADER, self._trust.token),),
            wait_for_ready=True,
        )
        try:
            while True:
                async with asyncio.timeout(SILENT_S):
                    report = await call.read()
                if not isinstance(report, pb.WatchLoadResponse):
                    return
                self._take(report)
        finally:
            call.cancel()

    def _take(self, report: pb.WatchLoadResponse) -> None:
        self.queue = QueueState(
            queued_tokens=report.queued_tokens,
            queued_bytes=report.queued_bytes,
            queued_items=report.queued_items,
            running_tokens=report.running_tokens,
            tokens_per_s=report.tokens_per_s,
            num_sequences=report.num_sequences,
            state_bytes=report.state_bytes,
            told_tokens=report.told_tokens,
        )
        load = ReplicaLoad(
            queued_tokens=report.queued_tokens,
            running_tokens=report.running_tokens,
            queued_bytes=report.queued_bytes,
            capacity_tokens=report.capacity_tokens,
            tokens_per_s=report.tokens_per_s,
            is_ready=report.ready,
            detail=report.detail,
            told_tokens=report.told_tokens,
        )
        self._reported(self.handle, load)


def _channel(address: str, trust: Trust) -> grpc.aio.Channel:
    credentials = trust.credentials()
    if credentials is None:
        return grpc.aio.insecure_channel(address, options=OPTIONS)
    named = (*OPTIONS, ("grpc.ssl_target_name_override", TLS_NAME))
    return grpc.aio.secure_channel(address, credentials, options=named)
