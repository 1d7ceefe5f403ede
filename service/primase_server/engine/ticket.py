"""A ticket of the engine in this process: the events of one job, queued for one reader."""

import asyncio
from collections import deque
from typing import Protocol

from primase_server.engine.events import Event
from primase_server.engine.scheduler import Delivery
from primase_server.errors import Cancelled, PrimaseError


class TicketKeeper(Protocol):
    """Whoever issued the ticket, told of its life on the event loop."""

    def ticket_read(self, num_bytes: int) -> None:
        """The reader took one event."""

    def ticket_ended(self, error: PrimaseError | None) -> None:
        """Nothing more will come: the last event is here, or the job failed as a whole. Once."""

    def ticket_emptied(self) -> None:
        """It has ended and nothing is left to read. Once."""


class LocalTicket:
    """For the event loop only. The scheduler bounds what is unread: it hears of every read."""

    def __init__(self, keeper: TicketKeeper) -> None:
        self._keeper = keeper
        self._unread: deque[Delivery] = deque()
        self._changed = asyncio.Event()
        self._error: PrimaseError | None = None
        self._has_ended = False
        self._is_emptied = False

    def __aiter__(self) -> "LocalTicket":
        return self

    async def __anext__(self) -> Event:
        while not self._unread:
            if self._error is not None:
                raise self._error
            if self._has_ended:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        return self._read_next()

    def cancel(self) -> None:
        """Give the job up and drop what is unread; a reader still waiting gets Cancelled."""
        self.fail(Cancelled("the caller gave the request up"))

    def fail(self, error: PrimaseError) -> None:
        """End the job with an error, unless it has ended, and drop what is unread."""
        if not self._has_ended:
            self._error = error
            self._end()
        self._unread.clear()
        self._notice_empty()

    def deliver(self, delivery: Delivery) -> None:
        """Queue an event; one that comes after the end is dropped."""
        if self._has_ended:
            return
        self._unread.append(delivery)
        self._changed.set()
        if delivery.is_last:
            self._end()

    def _read_next(self) -> Event:
        delivery = self._unread.popleft()
        self._keeper.ticket_read(delivery.num_bytes)
        self._notice_empty()
        return delivery.event

    def _end(self) -> None:
        self._has_ended = True
        self._changed.set()
        self._keeper.ticket_ended(self._error)

    def _notice_empty(self) -> None:
        if self._has_ended and not self._unread and not self._is_emptied:
            self._is_emptied = True
            self._keeper.ticket_emptied()
