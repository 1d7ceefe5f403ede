"""Whether the weights of a model that is served no more are really gone."""

import asyncio
import gc
import time
import weakref
from collections.abc import Callable
from contextlib import suppress

from primase_server.loading.devices import give_back
from primase_server.loading.loaded import Loaded

SHORTEST_PAUSE_S = 0.05


class Freed:
    """Watches what holds a model's weights, and does not hold it itself."""

    def __init__(self, loaded: Loaded) -> None:
        loop = asyncio.get_running_loop()
        self._event = asyncio.Event()
        holders = [holder for holder in (loaded.runner, loaded.generator) if holder is not None]
        self._num_left = len(holders)
        for holder in holders:
            weakref.finalize(holder, _tell, loop, self._one_gone).atexit = False

    async def wait(self, timeout_s: float) -> bool:
        """Wait until nothing holds them, and give their memory back; whether it came to that."""
        until_s, pause_s = time.monotonic() + timeout_s, SHORTEST_PAUSE_S
        # Calls that have just ended leave cycles, which may have to be looked for again.
        while not await self._is_set_within(pause_s) and time.monotonic() < until_s:
            await asyncio.to_thread(gc.collect)
            pause_s *= 2
        await asyncio.to_thread(give_back)
        return self._event.is_set()

    async def _is_set_within(self, timeout_s: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        return self._event.is_set()

    def _one_gone(self) -> None:
        self._num_left -= 1
        if self._num_left == 0:
            self._event.set()


def _tell(loop: asyncio.AbstractEventLoop, news: Callable[[], None]) -> None:
    with suppress(RuntimeError):  # the loop may be over
        loop.call_soon_threadsafe(news)
