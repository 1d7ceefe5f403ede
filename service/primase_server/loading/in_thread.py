"""Loading beside the event loop, so that the process can end in the middle of it."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

Result = TypeVar("Result")


async def in_thread(work: Callable[[], Result]) -> Result:
    """What `work` gives, from a thread of its own that nobody has to wait for."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Result] = loop.create_future()

    def run() -> None:
        try:
            told = partial(_finish, future, work())
        except BaseException as error:  # noqa: BLE001  whoever waits must know
            told = partial(_fail, future, error)
        with suppress(RuntimeError):  # the loop may be over
            loop.call_soon_threadsafe(told)

    threading.Thread(target=run, name="primase-load", daemon=True).start()
    return await future


def _finish(future: asyncio.Future[Result], result: Result) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[Result], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
