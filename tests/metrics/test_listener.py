"""The port of the metrics, over real sockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from primase_server.metrics import listener as listening
from primase_server.metrics.listener import MetricsListener
from primase_server.settings import Listen
from tests.engine.live import on_loop

LOCAL = Listen("127.0.0.1", 0)


@asynccontextmanager
async def listener() -> AsyncIterator[int]:
    made = MetricsListener(lambda: b"up 1\n")
    port = await made.start(LOCAL)
    try:
        yield port
    finally:
        await made.stop()


async def told(port: int, sent: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(LOCAL.host, port)
    writer.write(sent)
    try:
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


@on_loop
async def test_only_the_metrics_are_read_here() -> None:
    async with listener() as port:
        answer = await told(port, b"GET /metrics?name=up HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert answer.endswith(b"\r\nContent-Length: 5\r\nConnection: close\r\n\r\nup 1\n")
        head = await told(port, b"HEAD /metrics HTTP/1.1\r\n\r\n")
        assert head == answer.removesuffix(b"up 1\n")
        assert (await told(port, b"GET / HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 404 ")
        assert (await told(port, b"POST /metrics HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 405 ")
        assert await told(port, b"GET /metrics HTTP/1.1\r\nx: " + b"x" * 20_000) == b""
        assert (
            await told(port, b"GET /metrics HTTP/1.1\r\nx: " + b"x" * 20_000 + b"\r\n\r\n") == b""
        )


@on_loop
async def test_who_dawdles_is_hung_up_on_and_keeps_nobody_out() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listening, "DEADLINE_S", 0.2)
        async with listener() as port:
            slow = [asyncio.create_task(told(port, b"GET /met")) for _ in range(30)]
            assert await asyncio.gather(*slow) == [b""] * 30
            answer = await told(port, b"GET /metrics HTTP/1.1\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")


@on_loop
async def test_an_address_that_is_taken_is_named() -> None:
    async with listener() as port:
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port}"):
            await MetricsListener(bytes).start(Listen(LOCAL.host, port))
