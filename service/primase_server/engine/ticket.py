"""A ticket of the engine in this process: the events of one job, queued for one reader."""

import asyncio
from collections import deque
from typing import Protocol

from primase_server.engine.events import Event, Finished, Heartbeat, Tokens
from primase_server.engine.scheduler import Delivery
from primase_server.errors import Cancelled, PrimaseError


class TicketKeeper(Protocol):
    """Whoever issued the ticket, told of its life on the event loop."""

    def ticket_read(self, num_bytes: int) -> None:
        """The reader took events of so many bytes."""

    def ticket_heartbeat(self) -> Heartbeat | None:
        """How far the job is, where it is a generation."""

    def ticket_ended(self, error: PrimaseError | None) -> None:
        """Nothing more will come: the last event is here, or the job failed as a whole. Once."""

    def ticket_emptied(self) -> None:
        """It has ended and nothing is left to read. Once."""


class LocalTicket:
    """For the event loop only. The scheduler bounds what is unread: it hears of every read.

    num_drawn: tokens that a generation has made so far.
    """

    def __init__(self, keeper: TicketKeeper) -> None:
        self._keeper = keeper
        self.num_drawn = 0
        self._unread: deque[Delivery] = deque()
        self._unread_bytes = 0
        self._num_unread_others = 0  # that are not tokens
        self._gathering: asyncio.Future[None] | None = None
        self._most_gathered_bytes = 0
        self._changed = asyncio.Event()
        self._error: PrimaseError | None = None
        self._has_ended = False
        self._is_emptied = False

    def __aiter__(self) -> "LocalTicket":
        return self

    async def __anext__(self) -> Event:
        if not await self._has_unread():
            raise StopAsyncIteration
        delivery = self._pop()
        self._told_read(delivery.num_bytes)
        return delivery.event

    async def take(
        self, max_bytes: int, timeout_s: float | None = None, gather_s: float = 0.0
    ) -> list[Event]:
        """All unread events that fit, but at least one; none after the last.

        Waits `gather_s`, as long as there are only tokens and they fit; then for an event. Raises
        TimeoutError where none comes in another `timeout_s`.
        """
        self._most_gathered_bytes = max_bytes
        if gather_s > 0 and self._may_gather():
            await self._gather(gather_s)
        if not self._unread:
            async with asyncio.timeout(timeout_s):
                if not await self._has_unread():
                    return []
        first = self._pop()
        events, num_bytes = [first.event], first.num_bytes
        while self._unread and num_bytes + self._unread[0].num_bytes <= max_bytes:
            delivery = self._pop()
            events.append(delivery.event)
            num_bytes += delivery.num_bytes
        self._told_read(num_bytes)
        return events

    def heartbeat(self) -> Heartbeat | None:
        """How far a generation is; None of other work, and of what has ended."""
        return self._keeper.ticket_heartbeat()

    def cancel(self) -> None:
        """Give the job up and drop what is unread; a reader still waiting gets Cancelled."""
        self.fail(Cancelled("the caller gave the request up"))

    def fail(self, error: PrimaseError) -> None:
        """End the job with an error, unless it has ended, and drop what is unread."""
        if not self._has_ended:
            self._error = error
            self._end()
        self._unread.clear()
        self._unread_bytes = self._num_unread_others = 0
        self._notice_empty()

    def deliver(self, delivery: Delivery) -> None:
        """Queue an event; one that comes after the end is dropped."""
        if self._has_ended:
            return
        self._unread.append(delivery)
        self._unread_bytes += delivery.num_bytes
        if isinstance(delivery.event, Tokens):
            self.num_drawn += len(delivery.event.token_ids)
        else:
            self._num_unread_others += 1
            self.num_drawn += isinstance(delivery.event, Finished) and bool(delivery.event.terminal)
        self._changed.set()
        if delivery.is_last:
            self._end()
        elif self._gathering is not None and not self._may_gather():
            self._end_gathering()

    def _pop(self) -> Delivery:
        delivery = self._unread.popleft()
        self._unread_bytes -= delivery.num_bytes
        self._num_unread_others -= not isinstance(delivery.event, Tokens)
        return delivery

    def _may_gather(self) -> bool:
        is_pressing = self._has_ended or self._num_unread_others > 0
        return not is_pressing and self._unread_bytes < self._most_gathered_bytes

    async def _gather(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._gathering = loop.create_future()
        timer = loop.call_later(seconds, self._end_gathering)
        try:
            await self._gathering
        finally:
            timer.cancel()
            self._gathering = None

    def _end_gathering(self) -> None:
        if self._gathering is not None and not self._gathering.done():
            self._gathering.set_result(None)

    async def _has_unread(self) -> bool:
        """Wait for an event; False after the last. Raises the job's error."""
        while not self._unread:
            if self._error is not None:
                raise self._error
            if self._has_ended:
                return False
            self._changed.clear()
            await self._changed.wait()
        return True

    def _told_read(self, num_bytes: int) -> None:
        self._keeper.ticket_read(num_bytes)
        self._notice_empty()

    def _end(self) -> None:
        self._has_ended = True
        self._changed.set()
        self._end_gathering()
        self._keeper.ticket_ended(self._error)

    def _notice_empty(self) -> None:
        if self._has_ended and not self._unread and not self._is_emptied:
            self._is_emptied = True
            self._keeper.ticket_emptied()
