"""A ticket's life, without an engine."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from primase_server.engine.events import Event, Heartbeat, ItemFailed, Tokens
from primase_server.engine.scheduler import Delivery
from primase_server.engine.ticket import LocalTicket
from primase_server.errors import Cancelled, DeadlineExpired, InternalError, PrimaseError
from tests.engine.toys import WAIT_S, indices, read_all


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


def draw(ticket: LocalTicket, token: int) -> None:
    ticket.deliver(Delivery(ticket, Tokens(0, 0, token, (token,)), num_bytes=10))


def drawn(events: Sequence[Event]) -> list[int]:
    return [token for event in events if isinstance(event, Tokens) for token in event.token_ids]


def test_tokens_wait_for_more_of_them_and_for_no_longer() -> None:
    ticket = LocalTicket(Keeper())

    async def run() -> None:
        draw(ticket, 0)
        gathering = asyncio.create_task(ticket.take(max_bytes=99, gather_s=0.02))
        await asyncio.sleep(0)
        draw(ticket, 1)
        assert not gathering.done()
        assert drawn(await gathering) == [0, 1]
        with pytest.raises(TimeoutError):
            await ticket.take(max_bytes=99, timeout_s=0.0, gather_s=0.001)
        waiting = asyncio.create_task(ticket.take(max_bytes=99, gather_s=0.001))
        await asyncio.sleep(0.01)
        draw(ticket, 2)
        assert drawn(await waiting) == [2]

    asyncio.run(run())


@pytest.mark.parametrize("what", ["another event", "the end", "as many as fit", "an error"])
def test_no_token_waits_behind(what: str) -> None:
    ticket = LocalTicket(Keeper())

    async def run() -> None:
        draw(ticket, 0)
        gathering = asyncio.create_task(ticket.take(max_bytes=30, gather_s=3600.0))
        await asyncio.sleep(0)
        draw(ticket, 1)
        if what == "an error":
            ticket.fail(DeadlineExpired("late"))
            with pytest.raises(DeadlineExpired):
                await gathering
            return
        if what == "as many as fit":
            draw(ticket, 2)
        else:
            give(ticket, 0, is_last=what == "the end")
        taken = await gathering
        assert drawn(taken) == [0, 1, 2][: 3 if what == "as many as fit" else 2]

    asyncio.run(asyncio.wait_for(run(), WAIT_S))


def test_a_reader_that_is_cancelled_while_it_gathers_loses_nothing() -> None:
    ticket = LocalTicket(Keeper())

    async def run() -> None:
        draw(ticket, 0)
        gathering = asyncio.create_task(ticket.take(max_bytes=99, gather_s=3600.0))
        await asyncio.sleep(0)
        gathering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gathering
        draw(ticket, 1)
        assert drawn(await ticket.take(max_bytes=99)) == [0, 1]

    asyncio.run(run())
