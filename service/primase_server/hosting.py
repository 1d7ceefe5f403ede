"""The models of this process: loaded as it starts, and changed while it runs."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

import grpc
import structlog

from primase_server.engine.local import LocalEngine
from primase_server.engine.observer import EngineObserver
from primase_server.errors import (
    LoadFailed,
    PrecisionUnverified,
    ShuttingDown,
)
from primase_server.lineup import Lineup
from primase_server.loading.in_thread import in_thread
from primase_server.loading.loaded import Loaded
from primase_server.loading.loader import load
from primase_server.loading.memory import held_bytes, memory_of, need_of, require_room
from primase_server.models.card import Change, ModelState
from primase_server.models.families import EVO2
from primase_server.models.registry import ServedModel
from primase_server.models.room import Memory
from primase_server.rpc.health import Health
from primase_server.rpc.server import add_services
from primase_server.screening import screening
from primase_server.screening.screening import ScreeningObserver
from primase_server.serving import Serving
from primase_server.settings import Settings

log = structlog.get_logger()

NOT_LOADED = "its weights could not be loaded; the server's log says why"
UNLOAD_FIRST = "let the old weights go first (unload_first)"


class LocalHost(Lineup):
    """A ModelHost whose models run in this process. Used on one event loop."""

    def __init__(
        self,
        settings: Settings,
        observers: Sequence[EngineObserver] = (),
        screened: ScreeningObserver | None = None,
    ) -> None:
        super().__init__(settings)
        self._serving = Serving(settings, self.registry, observers)
        self._screening = screening.configured(settings.screening, screened)
        # So that what one load finds free is not taken by another.
        self._one_load = asyncio.Lock()
        self._loading: asyncio.Task[None] | None = None

    @property
    def engine(self) -> LocalEngine:
        """See ModelHost."""
        return self._serving.engine

    @property
    def health(self) -> Health:
        """See Answering."""
        return self._serving.health

    def add_services(self, server: grpc.aio.Server) -> None:
        """See Answering."""
        limits = self.settings.limits
        add_services(server, self.engine, self.registry, limits, self._screening)

    async def start(self) -> None:
        """See ModelHost."""
        if self._screening is not None:
            await self._screening.start()
        self._loading = asyncio.create_task(self._load_models())

    async def ready(self) -> None:
        """See ModelHost."""
        if self._loading is not None:
            await self._loading

    async def end_calls(self) -> None:
        """See Answering."""
        self.end_changes()
        await self.engine.close()

    async def stop(self) -> None:
        """See ModelHost."""
        self._serving.stop()
        if self._screening is not None:
            await self._screening.close()
        if self._loading is not None:
            self._loading.cancel()

    def memory(self) -> Sequence[Memory]:
        """See ModelHost."""
        return (Memory(*memory_of(EVO2, self.settings)),)

    async def _load_models(self) -> None:
        with suppress(ShuttingDown):
            for served in self.registry:
                if served.state is ModelState.LOADING and not self._changes.of(served.name):
                    work = partial(self._load_first, served)
                    await self._changes.make(served.name, Change.LOADING, work)
        log.info("models_loaded", states={m.name: m.state.value for m in self.registry})

    async def _load_first(self, served: ServedModel) -> None:
        try:
            async with self._one_load:
                loaded = await self._loaded(served, served.source)
        except LoadFailed:
            served.set_failed(NOT_LOADED)
        else:
            self._serving.put(served, loaded)
        await self.health.update()

    async def _bring(self, served: ServedModel) -> None:
        await self.health.update()
        try:
            async with self._one_load:
                need = need_of(served, served.source, self.settings)
                require_room(need, served, self.settings, self._others(served))
                loaded = await self._loaded(served, served.source)
        except LoadFailed as error:
            served.set_failed(NOT_LOADED)
            raise LoadFailed(f"{error.message}; the model is listed as failed") from None
        except BaseException:
            self.registry.remove(served)
            raise
        else:
            self._serving.put(served, loaded)
        finally:
            await self.health.update()
        self._require_verified(loaded)

    async def _take_away(self, served: ServedModel, grace_s: float | None) -> int:
        if grace_s is None:
            grace_s = self.settings.grace_s
        return await self._serving.take_away(served, grace_s)

    async def _replace(self, served: ServedModel, new: ServedModel, *, unload_first: bool) -> None:
        is_empty = False
        try:
            async with self._one_load:
                self._require_reload(served, new, unload_first=unload_first)
                if unload_first:
                    await self._empty(served)
                    is_empty = True
                loaded = await self._loaded(new, new.source)
        except LoadFailed:
            if is_empty:
                served.set_failed(NOT_LOADED)
                await self.health.update()
            raise
        if not unload_first:
            self._require_verified(loaded)
        served.source = new.source
        self._serving.put(served, loaded)
        await self.health.update()
        self._require_verified(loaded)

    def _require_reload(self, served: ServedModel, new: ServedModel, *, unload_first: bool) -> None:
        need = need_of(new, new.source, self.settings)
        others = self._others(served)
        if unload_first:
            require_room(need, new, self.settings, others, freed_bytes=held_bytes(served))
        else:
            require_room(need, new, self.settings, others, advice=UNLOAD_FIRST)

    async def _empty(self, served: ServedModel) -> None:
        served.is_awaited = False
        served.set_loading("it is being reloaded")
        await self.health.update()
        await self._serving.take_away(served, self.settings.grace_s)

    async def _loaded(self, served: ServedModel, source: str) -> Loaded:
        """Raises LoadFailed."""
        try:
            return await in_thread(partial(load, served, source, self.settings))
        except Exception as error:
            # The reason may name files, which is for the operator's eyes.
            log.exception("model_failed", model=served.name)
            why = str(error) or type(error).__name__
        raise LoadFailed(f"model {served.name!r}: {why}")

    def _require_verified(self, loaded: Loaded) -> None:
        if not self._serving.accepts(loaded):
            raise PrecisionUnverified(loaded.doubt)

    def _others(self, served: ServedModel) -> list[ServedModel]:
        return [model for model in self.registry if model.name != served.name]
