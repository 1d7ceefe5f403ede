"""A gateway as users meet it: uvicorn on a port of its own, in a thread."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn
import uvloop

from primase_gateway.__main__ import bind, server_config
from primase_gateway.settings import Settings


@dataclass(frozen=True)
class Live:
    """Where a gateway listens."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """Base of its routes."""
        return f"http://{self.host}:{self.port}"


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = threading.Event()

    async def startup(self, sockets: object = None) -> None:
        await super().startup(sockets)  # type: ignore[arg-type]
        self.up.set()


@contextmanager
def gateway(settings: Settings) -> Iterator[Live]:
    """Serve meanwhile."""
    listener = bind("127.0.0.1", 0)
    host, port = listener.getsockname()[:2]
    server = _Server(server_config(settings))

    def run() -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(server.serve([listener]))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert server.up.wait(30)
    try:
        yield Live(host, port)
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()
