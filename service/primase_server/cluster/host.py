"""The models of a cluster as a front end has them: how they come, go, and are told of."""

import asyncio
import signal
import threading
from collections.abc import Coroutine, Sequence
from functools import partial

import grpc
import structlog

from primase_server.changes import Changes
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
from primase_server.errors import InvalidRequest, LoadFailed, ModelExists, PrecisionUnverified
from primase_server.loading.sources import configured
from primase_server.models.card import Change, ModelCard, ModelState
from primase_server.models.hub.errors import HubError
from primase_server.models.registry import Registry, ServedModel
from primase_server.models.room import Memory
from primase_server.rpc.health import Health
from primase_server.settings import ModelSettings, Settings

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
        self._changes = Changes()

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

    def end_changes(self) -> None:
        """See ModelHost."""
        self._changes.end()

    def change_of(self, name: str) -> Change:
        """See ModelHost."""
        return self._changes.of(name)

    def memory(self) -> Sequence[Memory]:
        """See ModelHost: Ray knows, and places replicas by it."""
        return ()

    async def load(self, model: ModelSettings) -> None:
        """See ModelHost."""
        await self._changes.make(model.name, Change.LOADING, partial(self._load, model))

    async def unload(self, name: str, grace_s: float | None = None) -> int:
        """See ModelHost."""
        served = self.registry.named(name)
        work = partial(self._unload, served, grace_s)
        return await self._changes.make(served.name, Change.UNLOADING, work)

    async def reload(
        self, name: str, source: str | None = None, *, unload_first: bool = False
    ) -> None:
        """See ModelHost."""
        served = self.registry.named(name)
        work = partial(self._reload, served, source or served.source, unload_first)
        await self._changes.make(served.name, Change.RELOADING, work)

    async def _load(self, model: ModelSettings) -> None:
        served = self._configured(model)
        if (taken := self.registry.taken_name(served)) is not None:
            other = self.registry.find(taken).name
            raise ModelExists(f"the name {taken!r} is that of model {other!r}")
        served.is_awaited = False
        self.registry.add(served)
        self._serve(model)
        await self._loaded(served)
        log.info("model_loaded", model=served.name, source=model.source)

    async def _unload(self, served: ServedModel, grace_s: float | None) -> int:
        served.is_awaited = False
        served.set_unloading("it is being taken out of service")
        await self.health.update()
        num_ended = await self._ended(served.name, grace_s)
        self.registry.remove(served)
        await self.health.update()
        log.info("model_unloaded", model=served.name, num_ended_calls=num_ended)
        return num_ended

    async def _reload(self, served: ServedModel, source: str, unload_first: bool) -> None:
        new = self._configured(ModelSettings(served.name, source, served.aliases))
        if new.family != served.family:
            raise InvalidRequest.at("source", f"{source!r} is of {new.family}, not {served.family}")
        if unload_first:
            served.set_loading("it is being reloaded")
            await self.health.update()
            await self._ended(served.name, None)
            self._serve(ModelSettings(served.name, source, served.aliases))
            await self._loaded(served)
        else:
            try:
                await self.controller.reload(served.name, source)
            except ReplicaFailed as error:
                raise LoadFailed(f"model {served.name!r}: {error}") from error
        served.source = source
        served.edition += 1
        log.info("model_reloaded", model=served.name, edition=served.edition)

    async def _loaded(self, served: ServedModel) -> None:
        """Wait until a replica takes calls. Raises LoadFailed where none can be started."""
        while not await self.controller.ready(served.name, LOOK_AGAIN_S):
            if served.state is ModelState.FAILED:
                raise LoadFailed(f"model {served.name!r}: {served.detail}")
        if served.state is ModelState.UNVERIFIED:
            raise PrecisionUnverified(served.detail)

    async def _ended(self, name: str, grace_s: float | None) -> int:
        ending = asyncio.create_task(self.controller.unload(name))
        done, _ = await asyncio.wait({ending}, timeout=grace_s)
        num_ended = 0 if done else await self.engine.give_up(name)
        await ending
        return num_ended

    def _configured(self, model: ModelSettings) -> ServedModel:
        try:
            return configured(model, self.settings.weights_dir)
        except HubError as error:
            raise LoadFailed(str(error)) from error
        except ValueError as error:
            raise InvalidRequest.at("source", str(error)) from error

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
