"""What becomes of models that fail while they are served."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence

import structlog

from primase_server.engine.observer import SilentObserver
from primase_server.models.card import ModelState
from primase_server.models.registry import Registry, ServedModel
from primase_server.rpc.health import Health

log = structlog.get_logger()

# So that what fails at once, again and again, does not keep a core busy.
RESTART_DELAY_S = 0.5


class Recovery(SilentObserver):
    """Says of models what the engine lost, and serves those again whose weights are still there.

    serve_again: adds a model that has been served before to the engine, and calls it ready.
    """

    def __init__(
        self, registry: Registry, health: Health, serve_again: Callable[[str], None]
    ) -> None:
        self._registry = registry
        self._health = health
        self._serve_again = serve_again
        self._tasks: set[asyncio.Task[None]] = set()

    def model_lost(self, model: str) -> None:
        """See EngineObserver."""
        log.error("model_lost", model=model)
        if (served := self._served(model)) is not None:
            served.set_failed("it failed while it ran; the server's log says why")
        self._start(self._health.update())

    def not_finite(self, model: str) -> None:
        """See EngineObserver."""
        log.error("model_degraded", model=model)
        if (served := self._served(model)) is not None:
            served.set_degraded("it gave numbers that are not finite of late")

    def device_ended(self, models: Sequence[str]) -> None:
        """See EngineObserver."""
        log.error("device_died", models=list(models))
        # What an operator is taking away is not brought back.
        lost = [served for model in models if (served := self._served(model)) is not None]
        for served in lost:
            served.set_loading("its device is being started again")
        self._start(self._restart([served.name for served in lost]))

    def stop(self) -> None:
        """Start nothing any more."""
        for task in self._tasks:
            task.cancel()

    def _served(self, name: str) -> ServedModel | None:
        """The model, unless an operator has taken it out of service meanwhile."""
        found = (model for model in self._registry if model.name == name)
        return next((model for model in found if model.state is ModelState.READY), None)

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _restart(self, models: Sequence[str]) -> None:
        await self._health.update()
        await asyncio.sleep(RESTART_DELAY_S)
        for model in models:
            self._serve_again(model)
        await self._health.update()
        log.info("device_restarted", models=list(models))
