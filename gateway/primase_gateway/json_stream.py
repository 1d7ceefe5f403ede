"""Large answers as JSON, written some rows at a time.

Encoding a block keeps the event loop for about a millisecond, and the client's reading speed sets
the pace: no more than a block or two of text exists at once.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

MEDIA_TYPE = "application/json"
NUMBERS_PER_BLOCK = 16_384
CHUNK_BYTES = 131_072


def json_chunks(document: object) -> Iterator[bytes]:
    """`document` as JSON text in pieces of about CHUNK_BYTES; one piece where that holds it all.

    Mappings, lists, numpy arrays and whatever orjson writes; keys keep their order.
    """
    chunk = bytearray()
    for piece in _pieces(document):
        chunk += piece
        if len(chunk) >= CHUNK_BYTES:
            yield bytes(chunk)
            chunk.clear()
    if chunk:
        yield bytes(chunk)


def _pieces(value: object) -> Iterator[bytes]:
    if isinstance(value, np.ndarray):
        yield from _array_pieces(value)
    elif isinstance(value, Mapping):
        members = (_member_pieces(key, member) for key, member in value.items())
        yield from _joined(b"{", members, b"}")
    elif isinstance(value, list):
        yield from _joined(b"[", (_pieces(entry) for entry in value), b"]")
    else:
        yield orjson.dumps(value)


def _member_pieces(key: str, member: object) -> Iterator[bytes]:
    yield orjson.dumps(key) + b":"
    yield from _pieces(member)


def _array_pieces(array: NDArray[Any]) -> Iterator[bytes]:
    numbers_per_row = max(1, array[:1].size)
    rows_per_block = max(1, NUMBERS_PER_BLOCK // numbers_per_row)
    blocks = (
        iter((_block(array[start : start + rows_per_block]),))
        for start in range(0, len(array), rows_per_block)
    )
    yield from _joined(b"[", blocks, b"]")


def _block(rows: NDArray[Any]) -> bytes:
    text = orjson.dumps(np.ascontiguousarray(rows), option=orjson.OPT_SERIALIZE_NUMPY)
    return text[1:-1]


def _joined(begin: bytes, parts: Iterable[Iterator[bytes]], end: bytes) -> Iterator[bytes]:
    yield begin
    separator = b""
    for part in parts:
        yield separator
        yield from part
        separator = b","
    yield end


async def _taking_turns(first: Iterable[bytes], rest: Iterator[bytes]) -> AsyncIterator[bytes]:
    for chunk in first:
        yield chunk
    for chunk in rest:
        yield chunk
        # A socket that takes everything at once never makes `send` wait.
        await asyncio.sleep(0)


class JsonAnswer:
    """A document that may be large; `on_close` is called when it is sent or given up."""

    def __init__(self, document: object, on_close: Callable[[], None]) -> None:
        chunks = json_chunks(document)
        head = list(islice(chunks, 2))
        self._on_close = on_close
        self._answer = (
            Response(head[0], media_type=MEDIA_TYPE)
            if len(head) == 1
            else StreamingResponse(_taking_turns(head, chunks), media_type=MEDIA_TYPE)
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await self._answer(scope, receive, send)
        finally:
            self._on_close()
