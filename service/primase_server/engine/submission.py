"""One accepted job between its scheduler and its ticket."""

import asyncio
import time
from collections.abc import Callable, Sequence

from primase_server.engine.device_loop import DeviceLoop
from primase_server.engine.events import Heartbeat
from primase_server.engine.quotas import NoShare, Share
from primase_server.engine.scheduler import Delivery, Planner
from primase_server.engine.ticket import LocalTicket
from primase_server.errors import DeadlineExpired, PrimaseError

OnEnd = Callable[["Submission", PrimaseError | None], None]


class Submission:
    """Keeps the ticket: passes on what was read and given up, and watches the deadline.

    share: what the job took of its caller's quotas, with `max_drawn` tokens that it may draw.
    """

    def __init__(
        self, model: str, edition: int, planner: Planner, loop: DeviceLoop, on_end: OnEnd
    ) -> None:
        self.model = model
        self.edition = edition
        self.share: Share = NoShare()
        self.max_drawn = 0
        self.submitted_s = time.monotonic()
        self.ticket = LocalTicket(self)
        self._planner: Planner | None = planner
        self._loop = loop
        self._on_end = on_end
        self._timer: asyncio.TimerHandle | None = None

    @property
    def num_unused(self) -> int:
        """Tokens that were not drawn, until now."""
        return max(0, self.max_drawn - self.ticket.num_drawn)

    def start(self, deadline_s: float | None, deliveries: Sequence[Delivery]) -> None:
        """The job is admitted; `deliveries` are known already."""
        if deadline_s is not None:
            left_s = deadline_s - time.monotonic()
            self._timer = asyncio.get_running_loop().call_later(left_s, self._expire)
        for delivery in deliveries:
            self.ticket.deliver(delivery)

    def ticket_read(self, num_bytes: int) -> None:
        with self._loop.changing():
            if self._planner is not None:
                self._planner.read(self.ticket, num_bytes)

    def ticket_heartbeat(self) -> Heartbeat | None:
        with self._loop.changing():
            return None if self._planner is None else self._planner.heartbeat(self.ticket)

    def ticket_ended(self, error: PrimaseError | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._on_end(self, error)

    def ticket_emptied(self) -> None:
        with self._loop.changing():
            if self._planner is not None:
                self._planner.forget(self.ticket)
        # Who reads slowly may keep the ticket for long, and must not keep the weights with it.
        self._planner = None

    def _expire(self) -> None:
        self.ticket.fail(DeadlineExpired("the deadline passed before the work was done"))
