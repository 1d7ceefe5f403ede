"""One change of a model at a time, whoever waits for it."""

import asyncio

import pytest

from primase_server.changes import Changes
from primase_server.errors import LoadFailed, ModelBusy, ShuttingDown
from primase_server.models.card import Change
from tests.engine.live import on_loop


@on_loop
async def test_a_change_gives_what_it_gives_and_another_name_does_not_wait() -> None:
    changes, may_go_on = Changes(), asyncio.Event()

    async def work() -> int:
        await may_go_on.wait()
        return 7

    async def other() -> str:
        return "done"

    making = asyncio.create_task(changes.make("m", Change.RELOADING, work))
    await asyncio.sleep(0)
    assert changes.of("m") is Change.RELOADING
    assert not changes.of("n")
    with pytest.raises(ModelBusy, match="model 'm' is being reloaded already"):
        await changes.make("m", Change.UNLOADING, work)
    assert await changes.make("n", Change.LOADING, other) == "done"
    may_go_on.set()
    assert await making == 7
    assert changes.of("m") is Change.NONE


@on_loop
async def test_it_goes_on_when_its_caller_is_cancelled_and_its_error_bothers_nobody() -> None:
    changes, may_go_on, ended = Changes(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        await may_go_on.wait()
        ended.set()
        raise LoadFailed("no")

    making = asyncio.create_task(changes.make("m", Change.LOADING, work))
    await asyncio.sleep(0)
    making.cancel()
    with pytest.raises(asyncio.CancelledError):
        await making
    assert changes.of("m") is Change.LOADING
    may_go_on.set()
    await ended.wait()
    await asyncio.sleep(0)
    assert not changes.of("m")
    with pytest.raises(LoadFailed, match="no"):
        await changes.make("m", Change.LOADING, work)


@on_loop
async def test_the_end_of_the_server_is_told_to_who_waits_and_who_comes() -> None:
    changes = Changes()

    async def work() -> None:
        await asyncio.Event().wait()

    making = asyncio.create_task(changes.make("m", Change.LOADING, work))
    await asyncio.sleep(0)
    changes.end()
    with pytest.raises(ShuttingDown):
        await making
    with pytest.raises(ShuttingDown):
        await changes.make("n", Change.LOADING, work)
