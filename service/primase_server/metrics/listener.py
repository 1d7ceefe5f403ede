"""A port where a Prometheus server reads the metrics, and nothing else."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from primase_server.settings import Listen

PATH = "/metrics"
MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MOST_CONNECTIONS = 16
MAX_HEAD_BYTES = 16 * 1024
DEADLINE_S = 10.0


class MetricsListener:
    """Answers `GET /metrics`, one request a connection. The text is made on a thread of its own, so
    that the event loop goes on meanwhile."""

    def __init__(self, text: Callable[[], bytes]) -> None:
        self._text = text
        self._server: asyncio.Server | None = None
        self._num_open = 0
        self._thread = ThreadPoolExecutor(1, "primase-metrics")

    async def start(self, address: Listen) -> int:
        """Listen, and return the port. Raises OSError where the address is taken."""
        try:
            self._server = await asyncio.start_server(
                self._serve, address.host, address.port, limit=MAX_HEAD_BYTES
            )
        except OSError as error:
            raise OSError(f"cannot listen on {address.host}:{address.port}") from error
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Close the port."""
        if self._server is not None:
            self._server.close()
        self._thread.shutdown(wait=False)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._num_open += 1
        try:
            if self._num_open <= MOST_CONNECTIONS:
                async with asyncio.timeout(DEADLINE_S):
                    await self._answer(reader, writer)
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            # Whoever does not ask as a Prometheus server does gets no answer.
            writer.transport.abort()
        finally:
            self._num_open -= 1
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        method, _, rest = head.partition(b" ")
        target = rest.partition(b" ")[0].partition(b"?")[0]
        if target != PATH.encode():
            writer.write(_response("404 Not Found", b""))
        elif method not in (b"GET", b"HEAD"):
            writer.write(_response("405 Method Not Allowed", b""))
        else:
            loop = asyncio.get_running_loop()
            body = await loop.run_in_executor(self._thread, self._text)
            response = _response("200 OK", body)
            writer.write(response[: -len(body)] if method == b"HEAD" else response)
        await writer.drain()


def _response(status: str, body: bytes) -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {MEDIA_TYPE}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
