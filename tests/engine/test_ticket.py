"""A ticket's life, without an engine."""

import asyncio
from dataclasses import dataclass, field

import pytest

from primase_server.engine.events import Heartbeat, ItemFailed
from primase_server.engine.scheduler import Delivery
from primase_server.engine.ticket import LocalTicket
from primase_server.errors import Cancelled, DeadlineExpired, InternalError, PrimaseError
from tests.engine.toys import indices, read_all


@dataclass
class Keeper:
    heard: list[object] = field(default_factory=list)
    beat: Heartbeat | None = None

    def ticket_read(self, num_bytes: int) -> None:
        self.heard.append(num_bytes)

    def ticket_heartbeat(self) -> Heartbeat | None:
        return self.beat

    def ticket_ended(self, error: PrimaseError | None) -> None:
        self.heard.append(type(error).__name__ if error else "ended")

    def ticket_emptied(self) -> None:
        self.heard.append("emptied")


def give(ticket: LocalTicket, index: int, is_last: bool = False) -> None:
    event = ItemFailed(index, InternalError("toy"))
    ticket.deliver(Delivery(ticket, event, num_bytes=10 + index, is_last=is_last))


def test_events_are_read_in_order_and_every_read_is_told() -> None:
    keeper = Keeper()
    ticket = LocalTicket(keeper)

    async def run() -> None:
        reader = asyncio.create_task(read_all(ticket))
        await asyncio.sleep(0)
        give(ticket, 0)
        await asyncio.sleep(0)
        give(ticket, 1)
        give(ticket, 2, is_last=True)
        assert indices(await reader) == [0, 1, 2]

    asyncio.run(run())
    assert keeper.heard[0] == 10
    assert sorted(map(str, keeper.heard)) == ["10", "11", "12", "emptied", "ended"]
    assert keeper.heard[-1] == "emptied"


def test_a_failure_drops_what_is_unread_and_is_raised() -> None:
    keeper = Keeper()
    ticket = LocalTicket(keeper)
    give(ticket, 0)
    ticket.fail(DeadlineExpired("late"))
    ticket.cancel()
    give(ticket, 1)
    for _ in range(2):
        with pytest.raises(DeadlineExpired):
            asyncio.run(read_all(ticket))
    assert keeper.heard == ["DeadlineExpired", "emptied"]


def test_cancelling_after_the_end_only_drops_what_is_unread() -> None:
    keeper = Keeper()
    ticket = LocalTicket(keeper)
    give(ticket, 0, is_last=True)
    ticket.cancel()
    assert asyncio.run(read_all(ticket)) == []
    assert keeper.heard == ["ended", "emptied"]


def test_cancelling_before_the_end_is_an_error_to_a_reader() -> None:
    ticket = LocalTicket(Keeper())
    ticket.cancel()
    with pytest.raises(Cancelled):
        asyncio.run(read_all(ticket))


def test_all_that_fits_is_taken_together_and_told_once() -> None:
    keeper = Keeper()
    ticket = LocalTicket(keeper)
    for index in range(4):
        give(ticket, index, is_last=index == 3)
    assert indices(asyncio.run(ticket.take(max_bytes=21))) == [0, 1]
    assert keeper.heard == ["ended", 21]
    assert indices(asyncio.run(ticket.take(max_bytes=1))) == [2]
    assert indices(asyncio.run(ticket.take(max_bytes=99))) == [3]
    assert asyncio.run(ticket.take(max_bytes=99)) == []
    assert keeper.heard == ["ended", 21, 12, 13, "emptied"]


def test_taking_waits_for_the_first_event_only_so_long() -> None:
    ticket = LocalTicket(Keeper())

    async def run() -> None:
        reader = asyncio.create_task(ticket.take(max_bytes=99))
        await asyncio.sleep(0)
        give(ticket, 0)
        assert indices(await reader) == [0]
        with pytest.raises(TimeoutError):
            await ticket.take(max_bytes=99, timeout_s=0.0)
        ticket.fail(DeadlineExpired("late"))
        with pytest.raises(DeadlineExpired):
            await ticket.take(max_bytes=99, timeout_s=0.0)

    asyncio.run(run())


def test_the_heartbeat_is_that_of_its_keeper() -> None:
    keeper = Keeper()
    assert LocalTicket(keeper).heartbeat() is None
    keeper.beat = Heartbeat(0, 0, 0, queue_position=3, num_prefilled_tokens=0)
    assert LocalTicket(keeper).heartbeat() == keeper.beat
