"""The service itself, in a thread of the test."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from primase_server.app import App
from primase_server.settings import Listen, ModelSettings, Settings


@contextmanager
def real_server(*models: ModelSettings) -> Iterator[str]:
    """A whole server with these models loaded; gives its address."""
    settings = Settings(
        models=models,
        grpc=Listen("127.0.0.1", 0),
        rest=None,
        num_threads=1,
        withdraw_s=0.0,
        grace_s=1.0,
    )
    started = threading.Event()
    addresses: list[str] = []
    stops: list[Callable[[], object]] = []

    async def serve() -> None:
        app = App(settings)
        await app.start()
        await app.ready()
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        addresses.append(f"localhost:{app.grpc_port}")
        stops.append(lambda: loop.call_soon_threadsafe(stop.set))
        started.set()
        await stop.wait()
        await app.stop()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert started.wait(60)
    try:
        yield addresses[0]
    finally:
        stops[0]()
        thread.join()
