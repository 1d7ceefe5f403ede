"""An engine with its real threads, and what its tests ask of it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from primase_server.engine.engine import QueueState
from primase_server.engine.limits import EngineLimits
from primase_server.engine.local import LocalEngine
from primase_server.engine.observer import EngineObserver
from primase_server.engine.one_shot import OneShotRunner
from tests.engine.toys import (
    ROOMY,
    WAIT_S,
    GatedRunner,
)

EMPTY = QueueState(0, 0, 0, 0, 0.0)


@asynccontextmanager
async def serving(
    runner: OneShotRunner, limits: EngineLimits = ROOMY, observer: EngineObserver | None = None
) -> AsyncIterator[LocalEngine]:
    engine = LocalEngine(observer)
    engine.add_model("toy", runner, limits)
    try:
        async with asyncio.timeout(WAIT_S):
            yield engine
    finally:
        if isinstance(runner, GatedRunner):
            runner.let(1000)
        await engine.close()


def on_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """The test as a plain function on an event loop of its own."""

    def run() -> None:
        asyncio.run(test())

    run.__name__ = test.__name__
    run.__doc__ = test.__doc__
    return run


async def entered(runner: GatedRunner) -> list[str]:
    """Names in the step that is now on the device."""
    return [payload.name for payload in await asyncio.to_thread(runner.wait_entered)]


def books(engine: LocalEngine) -> QueueState:
    return replace(engine.queue_state("toy"), tokens_per_s=0.0)
