"""An event loop whose clock jumps to the next thing that is due, so that hours take no time."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _NothingElse(selectors.DefaultSelector):
    """Waits for nobody: a wait moves the clock on instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("everything waits and nothing is due")
        self.now_s += max(0.0, timeout)
        return super().select(0)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """For coroutines that wait for timers and one another, and for nothing outside."""

    def __init__(self) -> None:
        self._virtual = _NothingElse()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now_s


def run(work: Coroutine[Any, Any, T]) -> T:
    """As asyncio.run, in no time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(work)


async def idle() -> None:
    """Let everything run that is due now."""
    for _ in range(20):
        await asyncio.sleep(0)
