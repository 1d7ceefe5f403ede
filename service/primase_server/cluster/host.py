"""The models of a cluster as a front end has them: how they come, go, and are told of."""

import asyncio
import signal
import threading
from collections.abc import Coroutine, Sequence

import grpc
import structlog

from primase_server.cluster.controller import Controller, ModelCondition
from primase_server.cluster.forwarding import Forwarding
from primase_server.cluster.machines import (
    MachinesOf,
    Unreachable,
    ray_machines,
    resources_of,
    scaling_of,
)
from primase_server.cluster.observer import ClusterObserver
from primase_server.cluster.patience import Patience
from primase_server.cluster.remote_engine import RemoteEngine
from primase_server.cluster.replicas import ReplicaFailed, ReplicaSpec
from primase_server.cluster.trust import Trust
from primase_server.errors import LoadFailed, PrecisionUnverified
from primase_server.lineup import Lineup
from primase_server.models.card import ModelCard, ModelState
from primase_server.models.registry import ServedModel
from primase_server.models.room import Memory
from primase_server.rpc.health import Health
from primase_server.settings import Settings

log = structlog.get_logger()

RECONNECT_S = 2.0
LOOK_AGAIN_S = 0.5


class RemoteModel:
    """A model that another process has loaded."""

    def __init__(self, card: ModelCard) -> None:
        self._card = card

    def card(self, name: str) -> ModelCard:
        """See LoadedModel."""
        return self._card


class ClusterHost(Lineup):
    """A ModelHost whose models run as replicas on the machines of a Ray cluster."""

    def __init__(
        self,
        settings: Settings,
        observer: ClusterObserver | None = None,
        machines: MachinesOf = ray_machines,
        patience: Patience | None = None,
    ) -> None:
        super().__init__(settings)
        self._health = Health(self.registry)
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

    @property
    def health(self) -> Health:
        """See Answering."""
        return self._health

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
        self.end_changes()
        await self.engine.close()

    def memory(self) -> Sequence[Memory]:
        """See ModelHost: Ray knows, and places replicas by it."""
        return ()

    async def _bring(self, served: ServedModel) -> None:
        self._serve(served.name, served.source)
        await self._loaded(served)

    async def _take_away(self, served: ServedModel, grace_s: float | None) -> int:
        ending = asyncio.create_task(self.controller.unload(served.name))
        done, _ = await asyncio.wait({ending}, timeout=grace_s)
        num_ended = 0 if done else await self.engine.give_up(served.name)
        await ending
        return num_ended

    async def _replace(self, served: ServedModel, new: ServedModel, *, unload_first: bool) -> None:
        if unload_first:
            served.set_loading("it is being reloaded")
            await self.health.update()
            await self._take_away(served, None)
            self._serve(served.name, new.source)
            await self._loaded(served)
        else:
            try:
                await self.controller.reload(served.name, new.source)
            except ReplicaFailed as error:
                raise LoadFailed(f"model {served.name!r}: {error}") from error
        served.source = new.source
        served.edition += 1

    async def _loaded(self, served: ServedModel) -> None:
        """Wait until a replica takes calls. Raises LoadFailed where none can be started."""
        while not await self.controller.ready(served.name, LOOK_AGAIN_S):
            if served.state is ModelState.FAILED:
                raise LoadFailed(f"model {served.name!r}: {served.detail}")
        if served.state is ModelState.UNVERIFIED:
            raise PrecisionUnverified(served.detail)

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
            self._serve(model.name, model.source)

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

    def _serve(self, name: str, source: str) -> None:
        cluster = self.settings.cluster
        spec = ReplicaSpec(name, source, resources_of(cluster, name))
        self.controller.serve(spec, scaling_of(cluster, name))

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
            if status.detail and served.state is ModelState.READY:
                served.set_degraded(status.detail)
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
            edition = max(1, served.edition)
            served.set_ready(loaded, told.precision_doubt, told.room, edition)

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
