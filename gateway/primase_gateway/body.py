"""Request bodies: read within a limit, decompressed within the same limit, parsed as JSON."""

import zlib

import orjson
from starlette.requests import Request

from primase_gateway.errors import Refusal

GZIP_WINDOW_BITS = 31
BODY = ("body",)


async def read_json(request: Request, max_bytes: int) -> object:
    """The body as plain Python, whatever its Content-Type says.

    Raises Refusal: REQUEST_TOO_LARGE above `max_bytes` as sent or decompressed, INVALID_PARAMETER
    at `body` for what is not JSON, such as bad UTF-8, NaN, lone surrogates, nesting without end.
    """
    body = await read_body(request, max_bytes)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        message = f"JSON decode error: {error.msg} at byte {error.pos}"
        raise Refusal.of_field(BODY, message) from None


async def read_body(request: Request, max_bytes: int) -> bytes:
    """The decompressed body. Raises Refusal as `read_json` does."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("gzip", "x-gzip"):
        return await _read_gzip(request, max_bytes)
    if encoding in ("identity", ""):
        return await _read_plain(request, max_bytes)
    raise Refusal.of_field(BODY, "Content-Encoding must be gzip or identity")


async def _read_plain(request: Request, max_bytes: int) -> bytes:
    _refuse_declared_length(request, max_bytes)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
    return bytes(body)


async def _read_gzip(request: Request, max_bytes: int) -> bytes:
    _refuse_declared_length(request, max_bytes)
    inflater = _Inflater(max_bytes)
    async for chunk in request.stream():
        inflater.feed(chunk)
    return inflater.finish()


def _refuse_declared_length(request: Request, max_bytes: int) -> None:
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > max_bytes:
        raise _too_large(max_bytes)


class _Inflater:
    """Takes gzip members as they arrive and holds no more than `max_bytes` of what comes out."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._member = zlib.decompressobj(GZIP_WINDOW_BITS)
        self._text = bytearray()

    def feed(self, data: bytes) -> None:
        """Raises Refusal where the text grows too long or the bytes are not gzip."""
        while data:
            if self._member.eof:
                self._member = zlib.decompressobj(GZIP_WINDOW_BITS)
            room = self._max_bytes - len(self._text)
            try:
                self._text += self._member.decompress(data, room + 1)
            except zlib.error:
                raise Refusal.of_field(BODY, "gzip data is damaged") from None
            if len(self._text) > self._max_bytes:
                raise _too_large(self._max_bytes)
            data = self._member.unused_data

    def finish(self) -> bytes:
        """The whole text. Raises Refusal where the last member has no end."""
        if not self._member.eof:
            raise Refusal.of_field(BODY, "gzip data ends too early")
        return bytes(self._text)


def _too_large(max_bytes: int) -> Refusal:
    return Refusal("REQUEST_TOO_LARGE", f"the request body is larger than {max_bytes} bytes")
