"""How many calls are answered from which edition of a model's weights."""

import asyncio
from collections import Counter


class CallsInFlight:
    """Counted on one event loop."""

    def __init__(self) -> None:
        self._num_calls: Counter[int] = Counter()
        self._waiting: dict[asyncio.Event, int | None] = {}

    def begin(self, edition: int) -> None:
        """A call has found the model."""
        self._num_calls[edition] += 1

    def end(self, edition: int) -> None:
        """It has ended."""
        self._num_calls[edition] -= 1
        for event, awaited in self._waiting.items():
            if self.num(awaited) == 0:
                event.set()

    def num(self, edition: int | None = None) -> int:
        """Calls on that edition; on all of them where none is named."""
        return self._num_calls.total() if edition is None else self._num_calls[edition]

    async def ended(self, edition: int | None = None, timeout_s: float | None = None) -> None:
        """Wait until there is none. Raises TimeoutError."""
        if self.num(edition) == 0:
            return
        event = asyncio.Event()
        self._waiting[event] = edition
        try:
            async with asyncio.timeout(timeout_s):
                await event.wait()
        finally:
            del self._waiting[event]
