"""The blocking and the asyncio client behind one blocking face."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol, cast

import grpc
from google.protobuf.message import Message

import primase
from primase.statuses import from_rpc_error
from tests.conformance import python_calls


class Connected(Protocol):
    """A connection."""

    client: Any

    def wait(self, value: Any) -> Any:
        """What a call of the client gives."""

    def each(self, results: Any) -> Generator[Any, None, None]:
        """What an iterator of the client gives; closing it closes that."""

    def unary(self, rpc: str, request: Message) -> Message:
        """One request, one answer. Raises PrimaseError."""

    def raw(self, rpc: str, request: Message) -> Generator[Any, None, None]:
        """The messages of a streaming call, through a stub; closing it cancels."""


Face = Callable[[str, Mapping[str, Any]], AbstractContextManager[Connected]]


class _Blocking:
    def __init__(self, client: primase.Client) -> None:
        self.client = client

    def wait(self, value: Any) -> Any:
        return value

    def each(self, results: Any) -> Generator[Any, None, None]:
        try:
            yield from results
        finally:
            results.close()

    def unary(self, rpc: str, request: Message) -> Message:
        answer: Message = self.client.call(python_calls.unary(self.client.channel, rpc), request)
        return answer

    def raw(self, rpc: str, request: Message) -> Generator[Any, None, None]:
        messages = python_calls.streaming(self.client.channel, rpc)(request)
        try:
            yield from messages
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error
        finally:
            messages.cancel()


class _Asynchronous:
    def __init__(self, client: primase.AsyncClient, loop: asyncio.AbstractEventLoop) -> None:
        self.client = client
        self._loop = loop

    def wait(self, value: Awaitable[Any]) -> Any:
        return self._loop.run_until_complete(value)

    def each(self, results: Any) -> Generator[Any, None, None]:
        try:
            while (result := self.wait(anext(results, None))) is not None:
                yield result
        finally:
            self.wait(results.aclose())

    def unary(self, rpc: str, request: Message) -> Message:
        call = self.client.call(python_calls.unary(self.client.channel, rpc), request)
        return cast(Message, self.wait(call))

    def raw(self, rpc: str, request: Message) -> Generator[Any, None, None]:
        async def messages() -> AsyncIterator[Any]:
            call = python_calls.streaming(self.client.channel, rpc)(request)
            try:
                async for message in call:
                    yield message
            except grpc.RpcError as error:
                raise from_rpc_error(error) from error
            finally:
                call.cancel()

        return self.each(messages())


@contextmanager
def blocking(target: str, options: Mapping[str, Any]) -> Iterator[Connected]:
    """`primase.connect`."""
    with primase.connect(target, **options) as client:
        yield _Blocking(client)


@contextmanager
def asynchronous(target: str, options: Mapping[str, Any]) -> Iterator[Connected]:
    """`primase.connect_async`, in a loop of its own."""
    with asyncio.Runner() as runner:
        loop = runner.get_loop()

        async def connect() -> primase.AsyncClient:
            return primase.connect_async(target, **options)

        client = loop.run_until_complete(connect())
        try:
            yield _Asynchronous(client, loop)
        finally:
            loop.run_until_complete(client.close())
