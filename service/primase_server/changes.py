"""What is being done to the models of a server that runs."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from primase_server.errors import ModelBusy, ShuttingDown
from primase_server.models.card import Change

Result = TypeVar("Result")


@dataclass(frozen=True)
class _Running:
    change: Change
    task: asyncio.Task[Any]


class Changes:
    """To each model one thing at a time, which goes on when nobody waits for it any more."""

    def __init__(self) -> None:
        self._running: dict[str, _Running] = {}
        self._is_over = False

    def of(self, name: str) -> Change:
        """What is being done to that model."""
        running = self._running.get(name)
        return Change.NONE if running is None else running.change

    async def make(
        self, name: str, change: Change, work: Callable[[], Coroutine[Any, Any, Result]]
    ) -> Result:
        """Do `work`, and wait for what it gives.

        Raises what it raises; ModelBusy where something else is being done to the model,
        ShuttingDown where the server ends before or meanwhile.
        """
        if self._is_over:
            raise ShuttingDown("the server is stopping")
        if name in self._running:
            raise ModelBusy(f"model {name!r} is {self.of(name).value} already")
        task = asyncio.create_task(work())
        self._running[name] = _Running(change, task)
        task.add_done_callback(lambda _: self._end(name))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise ShuttingDown("the server is stopping") from None
            raise

    def end(self) -> None:
        """Give up what is being done, and begin nothing more."""
        self._is_over = True
        for running in self._running.values():
            running.task.cancel()

    def _end(self, name: str) -> None:
        task = self._running.pop(name).task
        if not task.cancelled():
            task.exception()  # which whoever began it may not wait for any more
