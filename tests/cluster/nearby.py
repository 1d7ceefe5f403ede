"""A front end and its replicas in one process, with real gRPC between them and no Ray."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import grpc

from primase.esm2.v1.esm2_service_pb2_grpc import Esm2ServiceStub
from primase.evo2.v1.evo2_service_pb2_grpc import Evo2ServiceStub
from primase.models.v1.model_service_pb2_grpc import ModelServiceStub
from primase.progen2.v1.progen2_service_pb2_grpc import ProGen2ServiceStub
from primase_server.access.gate import Gate
from primase_server.access.keys import Keys
from primase_server.cluster.host import ClusterHost
from primase_server.cluster.patience import Patience
from primase_server.cluster.remote_engine import RemoteEngine
from primase_server.cluster.replica import ReplicaDescription, ReplicaServer
from primase_server.cluster.replicas import (
    Died,
    ReplicaFailed,
    ReplicaHandle,
    ReplicaSpec,
    Tell,
)
from primase_server.cluster.trust import Trust
from primase_server.models.card import ModelState
from primase_server.rpc.call import Call
from primase_server.rpc.concerns import CallObserver
from primase_server.rpc.server import build_server, finish, listen
from primase_server.settings import (
    RAY,
    Cluster,
    Listen,
    ModelSettings,
    ReplicaRange,
    Settings,
)
from tests.rpc.live import WAIT_S, Result, event_loop

IMPATIENT = Patience(drain_s=5.0, backoff_s=0.05, most_backoff_s=0.2, interval_s=0.05)


@dataclass
class Nearby:
    """One replica on the front end's own event loop."""

    handle: ReplicaHandle
    server: ReplicaServer
    described: ReplicaDescription
    died: Died


class NearbyMachines:
    """Machines on which a replica is a server in this process.

    told: all that starting replicas said they wait for. `hold` makes them wait; `fail` is why they
    cannot start.
    """

    def __init__(self, settings: Settings, trust: Trust, engine: RemoteEngine) -> None:
        self.replicas: dict[str, Nearby] = {}
        self.trust = trust
        self.fail = ""
        self.go_on = asyncio.Event()
        self.go_on.set()
        self._settings = settings
        self._engine = engine
        self._numbers = count(1)
        # weights are loaded by a process one after the other
        self._loading = asyncio.Lock()

    async def connect(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Nothing to do."""

    def described(self, handle: ReplicaHandle) -> ReplicaDescription:
        return self.replicas[handle.replica_id].described

    async def start(self, spec: ReplicaSpec, tell: Tell, died: Died) -> ReplicaHandle:
        tell("waiting for a test")
        await self.go_on.wait()
        if self.fail:
            raise ReplicaFailed(self.fail)
        models = (ModelSettings(spec.model, spec.source),)
        server = ReplicaServer(replace(self._settings, models=models, tls=None), self.trust)
        async with self._loading:
            described = await server.start("127.0.0.1")
        if described.state is ModelState.FAILED:
            await server.stop(0.0)
            raise ReplicaFailed(described.detail)
        handle = ReplicaHandle(f"{spec.model}-{next(self._numbers)}", spec, described.address)
        self.replicas[handle.replica_id] = Nearby(handle, server, described, died)
        return handle

    async def drain(self, handle: ReplicaHandle, timeout_s: float) -> bool:
        return await self._engine.drained(handle, timeout_s)

    async def stop(self, handle: ReplicaHandle) -> None:
        if (replica := self.replicas.pop(handle.replica_id, None)) is not None:
            await self._engine.forget(handle)
            await replica.server.stop(0.0)

    async def kill(self, replica_id: str, *, tells: bool = True) -> None:
        """End it at once, whatever it does, and tell so a moment later, as Ray does."""
        replica = self.replicas[replica_id]
        await replica.server.abort()
        if tells:
            self.tell_death(replica_id)

    def tell_death(self, replica_id: str) -> None:
        """What Ray does some time after a process has ended."""
        replica = self.replicas[replica_id]
        replica.died(replica.handle, "killed by a test")


class Seen:
    """Every call that ended."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def call_finished(self, call: Call) -> None:
        self.calls.append(call)


class Front:
    """A running front end, and a channel to it with the limits that every client has by default."""

    def __init__(
        self,
        host: ClusterHost,
        machines: NearbyMachines,
        loop: asyncio.AbstractEventLoop,
        channel: grpc.Channel,
        address: str,
    ) -> None:
        self.host = host
        self.machines = machines
        self.loop = loop
        self.channel = channel
        self.address = address
        self.esm2 = Esm2ServiceStub(channel)
        self.evo2 = Evo2ServiceStub(channel)
        self.progen2 = ProGen2ServiceStub(channel)
        self.models = ModelServiceStub(channel)

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """What `work` gives on the front end's own event loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(WAIT_S)

    def replica(self, model: str) -> Nearby:
        """One of a model's."""
        return next(r for r in self.machines.replicas.values() if r.handle.model == model)


def queued_items(front: Front, model: str) -> list[int]:
    """Of each of a model's replicas."""

    async def states() -> list[int]:
        return [
            r.server.host.engine.queue_state(model).queued_items
            for r in front.machines.replicas.values()
            if r.handle.model == model
        ]

    return front.run(states())


def settings_of(*models: str, replicas: tuple[ReplicaRange, ...] = (), **limits: int) -> Settings:
    """A cluster of fixture models."""
    settings = Settings(
        models=tuple(ModelSettings(model, "fixture") for model in models),
        grpc=Listen("127.0.0.1", 0),
        rest=None,
        engine=RAY,
        cluster=Cluster(replicas=replicas),
        num_threads=1,
        withdraw_s=0.0,
        grace_s=5.0,
    )
    return replace(settings, limits=replace(settings.limits, **limits))


@contextmanager
def serving(
    settings: Settings, observer: CallObserver | None = None, *, ready: bool = True
) -> Iterator[Front]:
    """The front end, its models served by as many replicas as the settings say at least."""

    async def started() -> tuple[ClusterHost, grpc.aio.Server, int]:
        host = ClusterHost(settings, machines=NearbyMachines, patience=IMPATIENT)
        keys = settings.access.keys_file
        gate = Gate(Keys(keys) if keys is not None else None)
        server = build_server(host, settings.limits, observer, gate)
        port = listen(server, settings.grpc)
        await server.start()
        await host.start()
        if ready:
            await host.ready()
        return host, server, port

    async def stopped(host: ClusterHost, server: grpc.aio.Server) -> None:
        await finish(server, host, settings.grace_s)
        await host.stop()

    with event_loop() as loop:
        begun = asyncio.run_coroutine_threadsafe(started(), loop)
        host, server, port = begun.result(WAIT_S)
        address = f"127.0.0.1:{port}"
        machines = host.machines
        assert isinstance(machines, NearbyMachines)
        with grpc.insecure_channel(address) as channel:
            try:
                yield Front(host, machines, loop, channel, address)
            finally:
                asyncio.run_coroutine_threadsafe(stopped(host, server), loop).result(WAIT_S)
