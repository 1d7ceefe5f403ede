"""The models of this process: engine, registry, loading, and what becomes of failures."""

import asyncio
from collections.abc import Sequence

import grpc
import structlog

from primase_server.engine.generation_scheduler import GenerationScheduler
from primase_server.engine.limits import EngineLimits
from primase_server.engine.local import LocalEngine
from primase_server.engine.observer import EngineObserver, Observers
from primase_server.loading.loaded import Loaded
from primase_server.loading.loader import load
from primase_server.loading.sources import configured
from primase_server.models.registry import Registry, ServedModel
from primase_server.models.room import Room
from primase_server.recovery import Recovery
from primase_server.rpc.health import Health
from primase_server.rpc.server import add_services
from primase_server.screening import screening
from primase_server.screening.screening import ScreeningObserver
from primase_server.settings import Limits, Settings

log = structlog.get_logger()


class LocalHost:
    """A ModelHost whose models run in this process. Used on one event loop."""

    def __init__(
        self,
        settings: Settings,
        observers: Sequence[EngineObserver] = (),
        screened: ScreeningObserver | None = None,
    ) -> None:
        self.settings = settings
        self.registry = Registry(
            tuple(configured(model, settings.weights_dir) for model in settings.models)
        )
        self.health = Health(self.registry)
        self._recovery = Recovery(self.registry, self.health, self._serve_again)
        self.engine = LocalEngine(Observers((self._recovery, *observers)))
        self._screening = screening.configured(settings.screening, screened)
        self._loading: asyncio.Task[None] | None = None
        self._loaded: dict[str, Loaded] = {}

    def add_services(self, server: grpc.aio.Server) -> None:
        """See ModelHost."""
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
        """See ModelHost."""
        await self.engine.close()

    async def stop(self) -> None:
        """See ModelHost."""
        self._recovery.stop()
        if self._screening is not None:
            await self._screening.close()
        if self._loading is not None:
            self._loading.cancel()

    async def _load_models(self) -> None:
        for served in self.registry:
            await self._load_model(served)
        log.info("models_loaded", states={m.name: m.state.value for m in self.registry})

    async def _load_model(self, served: ServedModel) -> None:
        source = next(m.source for m in self.settings.models if m.name == served.name)
        try:
            loaded = await asyncio.to_thread(load, served, source, self.settings)
        except Exception:
            # The reason may name files, which is for the operator's eyes.
            log.exception("model_failed", model=served.name)
            served.set_failed("its weights could not be loaded; the server's log says why")
        else:
            self._serve(served, loaded)
        await self.health.update()

    def _serve(self, served: ServedModel, loaded: Loaded) -> None:
        if loaded.doubt and not self.settings.allow_unverified_precision:
            log.warning("model_unverified", model=served.name, why=loaded.doubt)
            served.set_unverified(loaded.runner, loaded.doubt)
            return
        limits = engine_limits(self.settings.limits, loaded.room)
        generation = None
        if loaded.generator is not None:
            generation = GenerationScheduler(loaded.generator, limits)
        self.engine.add_model(served.name, loaded.runner, limits, self.settings.device, generation)
        served.set_ready(loaded.runner, loaded.doubt, loaded.room)
        self._loaded[served.name] = loaded

    def _serve_again(self, name: str) -> None:
        self._serve(self.registry.find(name), self._loaded[name])


def engine_limits(limits: Limits, room: Room | None = None) -> EngineLimits:
    """The engine's share of the limits, within the room there is on a model's device."""
    return EngineLimits(
        max_queued_tokens=limits.max_queued_tokens,
        max_queued_bytes=limits.max_queued_bytes,
        max_batch_tokens=limits.max_batch_tokens,
        max_batch_bytes=room.batch_bytes if room else limits.max_batch_bytes,
        max_pending_result_bytes=limits.max_pending_result_bytes,
        max_step_s=limits.max_step_s,
        max_state_bytes=room.state_bytes if room else EngineLimits.max_state_bytes,
    )
