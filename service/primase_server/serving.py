"""The models that this process answers from: put before callers, swapped, and taken away."""

import asyncio
from collections.abc import Sequence

import structlog

from primase_server.engine.generation_scheduler import GenerationScheduler
from primase_server.engine.limits import EngineLimits
from primase_server.engine.local import LocalEngine
from primase_server.engine.observer import EngineObserver, Observers
from primase_server.errors import ModelNotReady
from primase_server.loading.devices import give_back
from primase_server.loading.freed import Freed
from primase_server.loading.loaded import Loaded
from primase_server.models.card import ModelState
from primase_server.models.registry import Registry, ServedModel
from primase_server.models.room import Room
from primase_server.recovery import Recovery
from primase_server.rpc.health import Health
from primase_server.settings import Limits, Settings

log = structlog.get_logger()

# Of calls that were ended by us, until their tasks have let go of the weights.
LETTING_GO_S = 10.0
RETRY_S = 2.0


class Serving:
    """Engine, registry and health, kept in agreement. Used on one event loop."""

    def __init__(
        self, settings: Settings, registry: Registry, observers: Sequence[EngineObserver]
    ) -> None:
        self.registry = registry
        self.health = Health(registry)
        self._settings = settings
        self._recovery = Recovery(registry, self.health, self._serve_again)
        self.engine = LocalEngine(Observers((self._recovery, *observers)))
        self._loaded: dict[str, Loaded] = {}
        self._leaving: set[asyncio.Task[None]] = set()

    def stop(self) -> None:
        """Start nothing any more."""
        self._recovery.stop()
        for task in self._leaving:
            task.cancel()

    def accepts(self, loaded: Loaded) -> bool:
        """Whether answers may come from it, as far as its numbers go."""
        return not loaded.doubt or self._settings.allow_unverified_precision

    def put(self, served: ServedModel, loaded: Loaded) -> None:
        """Answer from these weights from now on.

        Calls in flight go on with those before, which are gone once the last such call has ended.
        """
        if not self.accepts(loaded):
            log.warning("model_unverified", model=served.name, why=loaded.doubt)
            served.set_unverified(loaded.runner, loaded.doubt)
            return
        before, old_edition = self._loaded.get(served.name), served.edition
        self._run(served, loaded, old_edition + 1)
        self._loaded[served.name] = loaded
        if before is not None:
            self._start_leaving(served, old_edition, Freed(before))

    async def take_away(self, served: ServedModel, grace_s: float) -> int:
        """Answer from the model no more; returns when its memory is free.

        Calls in flight have so long, and then end with ModelNotReady. Gives how many did.
        """
        try:
            await served.calls.ended(timeout_s=grace_s)
        except TimeoutError:
            log.warning("calls_ended", model=served.name, num_calls=served.calls.num())
        num_ended = served.calls.num()
        error = ModelNotReady(f"model {served.name!r} was taken out of service", RETRY_S)
        self.engine.remove_editions(served.name, error)
        loaded = self._loaded.pop(served.name, None)
        served.set_empty()
        if loaded is None:
            await asyncio.to_thread(give_back)
            return num_ended
        freed = Freed(loaded)
        del loaded
        await self._let_go(served, freed)
        return num_ended

    def _run(self, served: ServedModel, loaded: Loaded, edition: int) -> None:
        limits = engine_limits(self._settings.limits, loaded.room)
        generation = None
        if loaded.generator is not None:
            generation = GenerationScheduler(loaded.generator, limits)
        device = self._settings.device
        self.engine.put_model(served.name, loaded.runner, limits, device, generation, edition)
        served.set_ready(loaded.runner, loaded.doubt, loaded.room, edition)

    def _serve_again(self, name: str) -> None:
        served = next((model for model in self.registry if model.name == name), None)
        if served is not None and served.state is ModelState.LOADING and name in self._loaded:
            self._run(served, self._loaded[name], served.edition)

    def _start_leaving(self, served: ServedModel, edition: int, freed: Freed) -> None:
        task = asyncio.create_task(self._leave(served, edition, freed))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _leave(self, served: ServedModel, edition: int, freed: Freed) -> None:
        await served.calls.ended(edition)
        self.engine.remove_replaced(served.name, edition)
        await self._let_go(served, freed)
        log.info("old_weights_gone", model=served.name, edition=edition)

    async def _let_go(self, served: ServedModel, freed: Freed) -> None:
        if not await freed.wait(LETTING_GO_S):
            log.warning("memory_not_free", model=served.name)


def engine_limits(limits: Limits, room: Room | None = None) -> EngineLimits:
    """The engine's share of the limits, within the room there is on a model's device."""
    return EngineLimits(
        max_queued_tokens=limits.max_queued_tokens,
        max_queued_bytes=limits.max_queued_bytes,
        max_batch_tokens=limits.max_batch_tokens,
        max_batch_bytes=room.batch_bytes if room else limits.max_batch_bytes,
        max_pending_result_bytes=limits.max_pending_result_bytes,
        max_step_s=limits.max_step_s,
        max_queue_s=limits.max_queue_s,
        max_state_bytes=room.state_bytes if room else EngineLimits.max_state_bytes,
    )
