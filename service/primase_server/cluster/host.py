"""The models of a cluster as a front end has them: how they come, go, and are told of."""

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine
from typing import Protocol

import grpc
import structlog

from primase_server.cluster.autoscaler import Scaling
from primase_server.cluster.controller import Controller, ModelCondition
from primase_server.cluster.forwarding import Forwarding
from primase_server.cluster.observer import ClusterObserver
from primase_server.cluster.patience import Patience
from primase_server.cluster.remote_engine import RemoteEngine
from primase_server.cluster.replica import ReplicaDescription
from primase_server.cluster.replicas import (
    ReplicaFactory,
    ReplicaHandle,
    ReplicaSpec,
    Resources,
)
from primase_server.cluster.trust import Trust
from primase_server.loading.sources import configured
from primase_server.models.card import ModelCard, ModelState
from primase_server.models.registry import Registry, ServedModel
from primase_server.rpc.health import Health
from primase_server.settings import Cluster, ModelSettings, Settings, amount_of

log = structlog.get_logger()

GIB = 1 << 30
RECONNECT_S = 2.0


class Unreachable(Exception):
    """There is no cluster at that address, or not yet."""


class Machines(ReplicaFactory, Protocol):
    """Where replicas run, and what each has told of its model."""

    async def connect(self) -> None:
        """Before anything is started. Raises Unreachable."""

    async def close(self) -> None:
        """After all has ended."""

    def described(self, handle: ReplicaHandle) -> ReplicaDescription:
        """What a replica told when it was ready."""


MachinesOf = Callable[[Settings, Trust, RemoteEngine], Machines]


def ray_machines(settings: Settings, trust: Trust, engine: RemoteEngine) -> Machines:
    """Those of the Ray cluster that the settings name."""
    # Ray takes a second to import, and is an extra.
    from primase_server.cluster.ray_factory import RayFactory

    return RayFactory(settings, trust, engine)


class RemoteModel:
    """A model that another process has loaded."""

    def __init__(self, card: ModelCard) -> None:
        self._card = card

    def card(self, name: str) -> ModelCard:
        """See LoadedModel."""
        return self._card


class ClusterHost:
    """A ModelHost whose models run as replicas on the machines of a Ray cluster."""

    def __init__(
        self,
        settings: Settings,
        observer: ClusterObserver | None = None,
        machines: MachinesOf = ray_machines,
        patience: Patience | None = None,
    ) -> None:
        self.settings = settings
        self.registry = Registry(
            tuple(configured(model, settings.weights_dir) for model in settings.models)
        )
        self.health = Health(self.registry)
        trust = Trust(tls=settings.cluster.tls)
        self.engine = RemoteEngine(self.registry, settings.limits, trust, self._wake)
        self._forwarding = Forwarding(self.engine, trust.token)
        self.machines = machines(settings, trust, self.engine)
        self.controller = Controller(
            self.machines,
            self.engine,
            patience=patience or Patience(drain_s=settings.grace_s),
            observer=observer,
            waiting_tokens=self.engine.waiting_tokens,
        )
        self.controller.on_change(self._changed)
        self._starting: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._settled = asyncio.Event()

    def add_services(self, server: grpc.aio.Server) -> None:
        """See Answering."""
        self._forwarding.add_services(server, self.settings.limits)

    async def start(self) -> None:
        """See ModelHost."""
        for served in self.registry:
            served.set_loading("the cluster is being joined")
        self._starting = asyncio.create_task(self._start(), name="joining the cluster")

    async def ready(self) -> None:
        """See ModelHost."""
        await self._settled.wait()

    async def end_calls(self) -> None:
        """See Answering."""
        await self.engine.close()

    async def stop(self) -> None:
        """See ModelHost."""
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.wait((self._starting,))
        await self.controller.stop()
        await self.machines.close()

    async def _start(self) -> None:
        await self._join()
        self.controller.start()
        for model in self.settings.models:
            self._serve(model)

    async def _join(self) -> None:
        while True:
            try:
                await self.machines.connect()
            except Unreachable as error:
                log.warning("cluster_unreachable", why=str(error))
                for served in self.registry:
                    served.set_loading(f"the cluster is waited for: {error}")
                await asyncio.sleep(RECONNECT_S)
            else:
                _keep_signals()
                return

    def _serve(self, model: ModelSettings) -> None:
        cluster = self.settings.cluster
        spec = ReplicaSpec(model.name, model.source, resources_of(cluster, model.name))
        self.controller.serve(spec, scaling_of(cluster, model.name))

    def _wake(self, model: str) -> None:
        if model in self.controller.models:
            self.controller.wake(model)

    def _changed(self, model: str) -> None:
        """The registry and health follow what becomes of the replicas."""
        if model not in self.controller.models:
            return
        served, status = self.registry.find(model), self.controller.status(model)
        if status.condition is ModelCondition.READY:
            self._set_ready(served)
        elif status.condition is ModelCondition.FAILED:
            served.set_failed(status.detail)
        elif status.condition is ModelCondition.LOADING or served.card is None:
            served.set_loading(status.detail)
        if status.detail:
            log.info("model_waits", model=model, why=status.detail)
        self._begin(self.health.update())
        if self._is_settled() and not self._settled.is_set():
            self._settled.set()
            log.info("models_loaded", states={m.name: m.state.value for m in self.registry})

    def _set_ready(self, served: ServedModel) -> None:
        # The youngest has the weights that will stay.
        handle = self.engine.replicas(served.name)[-1]
        told = self.machines.described(handle)
        if told.card is None:
            return
        loaded = RemoteModel(told.card)
        if told.state is ModelState.UNVERIFIED:
            served.set_unverified(loaded, told.detail)
        else:
            served.set_ready(loaded, told.precision_doubt, told.room)

    def _is_settled(self) -> bool:
        return all(served.state is not ModelState.LOADING for served in self.registry)

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _keep_signals() -> None:
    # Ray puts a handler of its own before ours, which writes a stack of addresses first.
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            if (handler := signal.getsignal(number)) is not None:
                signal.signal(number, handler)


def resources_of(cluster: Cluster, model: str) -> Resources:
    """What one replica of a model needs."""
    return Resources(
        num_cpus=amount_of(cluster.cpus, model, 1.0),
        num_gpus=amount_of(cluster.gpus, model, 0.0),
        memory_bytes=round(amount_of(cluster.memory_gib, model, 0.0) * GIB),
    )


def scaling_of(cluster: Cluster, model: str) -> Scaling:
    """How many replicas a model has, and when that changes."""
    bounds = cluster.range_of(model)
    return Scaling(
        floor=bounds.floor,
        ceiling=bounds.ceiling,
        target_wait_s=cluster.scale_wait_s,
        target_tokens=cluster.scale_tokens,
        up_cooldown_s=cluster.scale_up_s,
        down_cooldown_s=cluster.scale_down_s,
        idle_s=cluster.scale_idle_s,
    )
