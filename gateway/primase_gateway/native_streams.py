"""The messages of a call that answers with many: as a JSON array, or as server-sent events."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any, ClassVar

from google.protobuf.message import Message
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from primase_gateway import json_stream, native_errors, proto_json
from primase_gateway.errors import Refusal
from primase_gateway.proto_schema import Schema

# Longer messages are written on another thread, so that the event loop goes on answering.
LARGE_MESSAGE_BYTES = 64 * 1024

Messages = AsyncGenerator[Any, None]


async def dump(message: Message) -> bytes:
    """`message` as JSON text."""
    if message.ByteSize() > LARGE_MESSAGE_BYTES:
        return await asyncio.to_thread(proto_json.dump, message)
    return proto_json.dump(message)


class StreamAnswer(StreamingResponse, ABC):
    """`first`, if there was one, and what follows it; closes `rest` when sent or given up."""

    content_type: ClassVar[str]
    own_headers: ClassVar[Mapping[str, str]] = {}

    def __init__(self, first: Message | None, rest: Messages) -> None:
        super().__init__(
            self._written(first, rest), media_type=self.content_type, headers=self.own_headers
        )
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._rest.aclose()

    @classmethod
    @abstractmethod
    def described(cls, message: Schema) -> Schema:
        """The schema of an answer, where `message` is that of each of its messages."""

    @abstractmethod
    def _written(self, first: Message | None, rest: Messages) -> AsyncIterator[bytes]:
        """All of it as text."""


class ArrayAnswer(StreamAnswer):
    """A JSON array of the messages. An answer that breaks off has no end."""

    content_type = json_stream.MEDIA_TYPE

    @classmethod
    def described(cls, message: Schema) -> Schema:
        """An array."""
        return {"type": "array", "items": message}

    async def _written(self, first: Message | None, rest: Messages) -> AsyncIterator[bytes]:
        yield b"["
        if first is not None:
            yield await dump(first)
        async for message in rest:
            yield b"," + await dump(message)
        yield b"]"


class EventsAnswer(StreamAnswer):
    """An event for each message, named as what is set of its `event`.

    A call that fails in between ends with an event named `error`: a google.rpc.Status.
    """

    content_type = "text/event-stream"
    # A proxy that keeps events back until there are many would make them late.
    own_headers: ClassVar[Mapping[str, str]] = {
        "cache-control": "no-cache",
        "x-accel-buffering": "no",
    }

    @classmethod
    def described(cls, message: Schema) -> Schema:
        """Text, in which a schema cannot see the messages."""
        return {"type": "string", "x-event-data": message}

    async def _written(self, first: Message | None, rest: Messages) -> AsyncIterator[bytes]:
        if first is not None:
            yield await _event(first)
        try:
            async for message in rest:
                yield await _event(message)
        except Refusal as refusal:
            yield _named("error", native_errors.body(refusal))


async def _event(message: Any) -> bytes:
    return _named(message.WhichOneof("event") or "message", await dump(message))


def _named(name: str, data: bytes) -> bytes:
    # The data is one line, as JSON without line breaks is.
    return b"event: %s\ndata: %s\n\n" % (name.encode(), data)
