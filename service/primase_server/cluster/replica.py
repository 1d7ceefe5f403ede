"""One model's server in a process of its own: the same services, for the front end only."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass

import structlog

from primase.cluster.v1 import replica_service_pb2 as pb
from primase.cluster.v1 import replica_service_pb2_grpc
from primase_server.cluster.trust import ClusterGate, Trust
from primase_server.engine.engine import QueueState
from primase_server.errors import PrimaseError
from primase_server.hosting import LocalHost
from primase_server.models.card import ModelCard, ModelState
from primase_server.models.registry import ServedModel
from primase_server.models.room import Room
from primase_server.rpc.call import Context
from primase_server.rpc.server import build_server, finish, listen
from primase_server.settings import Listen, Settings

log = structlog.get_logger()

LEAST_INTERVAL_S = 0.05
LONGEST_INTERVAL_S = 1.0

NOTHING = QueueState(0, 0, 0, 0, 0.0)


@dataclass(frozen=True)
class ReplicaDescription:
    """What a replica tells once of its model and of itself, when it has loaded or failed to.

    address: HOST:PORT. pid: of its process, there. The others as ServedModel has them.
    """

    address: str
    pid: int
    state: ModelState
    detail: str
    card: ModelCard | None
    precision_doubt: str
    room: Room | None


class LoadServicer(replica_service_pb2_grpc.ReplicaServiceServicer):
    """Reports the queue of the one model."""

    def __init__(self, host: LocalHost, served: ServedModel, capacity_tokens: int) -> None:
        self._host = host
        self._served = served
        self._capacity_tokens = capacity_tokens

    async def WatchLoad(  # noqa: N802  named in the proto
        self, request: pb.WatchLoadRequest, context: Context
    ) -> AsyncIterator[pb.WatchLoadResponse]:
        """When it changes, at most every 50 ms, and once a second."""
        clock = asyncio.get_running_loop().time
        told, told_s = None, 0.0
        while True:
            report = self._report()
            if report != told or clock() - told_s >= LONGEST_INTERVAL_S:
                told, told_s = report, clock()
                yield report
            await asyncio.sleep(LEAST_INTERVAL_S)

    def _report(self) -> pb.WatchLoadResponse:
        queue = self._queue()
        return pb.WatchLoadResponse(
            queued_tokens=queue.queued_tokens,
            running_tokens=queue.running_tokens,
            queued_bytes=queue.queued_bytes,
            queued_items=queue.queued_items,
            capacity_tokens=self._capacity_tokens,
            tokens_per_s=queue.tokens_per_s,
            num_sequences=queue.num_sequences,
            state_bytes=queue.state_bytes,
            ready=self._served.state is ModelState.READY,
            detail=self._served.detail,
            told_tokens=queue.told_tokens,
        )

    def _queue(self) -> QueueState:
        try:
            return self._host.engine.queue_state(self._served.name)
        except PrimaseError:
            return NOTHING


class ReplicaServer:
    """Made, used and stopped on one event loop.

    settings: of the front end, with this one model.
    """

    def __init__(self, settings: Settings, trust: Trust) -> None:
        self.host = LocalHost(settings)
        (self._served,) = self.host.registry
        self._settings = settings
        self._tls = trust.tls
        self._server = build_server(self.host, settings.limits, gate=ClusterGate(trust.token))
        load = LoadServicer(self.host, self._served, settings.limits.max_queued_tokens)
        replica_service_pb2_grpc.add_ReplicaServiceServicer_to_server(load, self._server)

    async def start(self, ip: str) -> ReplicaDescription:
        """Load the model, and answer on a port of this machine's address. Raises OSError."""
        port = listen(self._server, Listen(ip, 0), self._tls)
        await self._server.start()
        await self.host.start()
        await self.host.ready()
        served = self._served
        return ReplicaDescription(
            address=f"{ip}:{port}",
            pid=os.getpid(),
            state=served.state,
            detail=served.detail,
            card=served.card,
            precision_doubt=served.precision_doubt,
            room=served.room,
        )

    async def stop(self, grace_s: float) -> None:
        """Let calls end for so long, then end them."""
        await finish(self._server, self.host, grace_s)
        await self.host.stop()

    async def abort(self) -> None:
        """End at once, whatever is open."""
        await self._server.stop(None)
        await self.host.end_calls()
        await self.host.stop()
