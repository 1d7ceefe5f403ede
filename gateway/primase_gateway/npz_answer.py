"""The answer of NIM's forward: an .npz as base64 in JSON, made as it is sent."""

import asyncio
import binascii
from collections.abc import AsyncIterator, Callable

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from primase_gateway.json_stream import MEDIA_TYPE

# A multiple of 3, so that only the end is padded. Encoding one block takes half a millisecond.
BLOCK_BYTES = 3 << 17
BEFORE = b'{"data":"'


class NpzAnswer:
    """`{"data": base64 of file, "elapsed_ms": ...}`; no copy of all of it is ever made.

    `on_close` is called when it is sent or given up.
    """

    def __init__(self, file: memoryview, elapsed_ms: int, on_close: Callable[[], None]) -> None:
        self._file = file
        self._after = b'","elapsed_ms":%d}' % elapsed_ms
        self._on_close = on_close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        headers = {"content-length": str(self._num_bytes())}
        answer = StreamingResponse(self._pieces(), headers=headers, media_type=MEDIA_TYPE)
        try:
            await answer(scope, receive, send)
        finally:
            self._on_close()

    def _num_bytes(self) -> int:
        blocks = -(-len(self._file) // 3)
        return len(BEFORE) + 4 * blocks + len(self._after)

    async def _pieces(self) -> AsyncIterator[bytes]:
        yield BEFORE
        for start in range(0, len(self._file), BLOCK_BYTES):
            yield binascii.b2a_base64(self._file[start : start + BLOCK_BYTES], newline=False)
            # A socket that takes everything at once never makes `send` wait.
            await asyncio.sleep(0)
        yield self._after
