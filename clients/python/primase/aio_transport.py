"""Asyncio calls: all that the asyncio client does not share with the blocking one."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeVar

import grpc
from google.protobuf.message import Message

from primase.exchange import Exchange
from primase.results import ItemResult
from primase.statuses import from_rpc_error

ItemT = TypeVar("ItemT", bound=Message)
RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")
ValueT = TypeVar("ValueT")

Answers = Callable[[RequestT], AsyncGenerator[ResponseT, None]]


@dataclass(frozen=True)
class AsyncTransport:
    """How each call is made: its metadata, and its deadline in seconds from when it is sent."""

    metadata: tuple[tuple[str, str], ...] = ()
    timeout_s: float | None = None

    async def call(
        self, rpc: "grpc.aio.UnaryUnaryMultiCallable[RequestT, ResponseT]", request: RequestT
    ) -> ResponseT:
        """One request, one answer. Raises PrimaseError."""
        try:
            return await rpc(request, timeout=self.timeout_s, metadata=self.metadata)
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error

    def stream(
        self,
        rpc: "grpc.aio.UnaryStreamMultiCallable[RequestT, ResponseT]",
        exchange: Exchange[ItemT, RequestT, ResponseT, ValueT],
    ) -> AsyncIterator[ItemResult[ValueT]]:
        """The exchange over a streaming call."""

        async def answers(request: RequestT) -> AsyncGenerator[ResponseT, None]:
            responses = rpc(request, timeout=self.timeout_s, metadata=self.metadata)
            try:
                async for response in responses:
                    yield response
            finally:
                responses.cancel()

        return _run(answers, exchange)

    def repeat(
        self,
        rpc: "grpc.aio.UnaryUnaryMultiCallable[RequestT, ResponseT]",
        exchange: Exchange[ItemT, RequestT, ResponseT, ValueT],
    ) -> AsyncIterator[ItemResult[ValueT]]:
        """The exchange over a unary call."""

        async def answers(request: RequestT) -> AsyncGenerator[ResponseT, None]:
            yield await rpc(request, timeout=self.timeout_s, metadata=self.metadata)

        return _run(answers, exchange)


async def _run(
    answers: Answers[RequestT, ResponseT],
    exchange: Exchange[ItemT, RequestT, ResponseT, ValueT],
) -> AsyncIterator[ItemResult[ValueT]]:
    while exchange.advance():
        try:
            if (request := exchange.request()) is not None:
                async with aclosing(answers(request)) as responses:
                    async for response in responses:
                        for result in exchange.read(response):
                            yield result
        except grpc.RpcError as error:
            exchange.failed(from_rpc_error(error))
        else:
            for result in exchange.end():
                yield result
