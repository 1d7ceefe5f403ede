"""Blocking calls: all that the blocking client does not share with the asyncio one."""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
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

Answers = Callable[[RequestT], Generator[ResponseT, None, None]]


@dataclass(frozen=True)
class Transport:
    """How each call is made: its metadata, and its deadline in seconds from when it is sent."""

    metadata: tuple[tuple[str, str], ...] = ()
    timeout_s: float | None = None

    def call(
        self, rpc: "grpc.UnaryUnaryMultiCallable[RequestT, ResponseT]", request: RequestT
    ) -> ResponseT:
        """One request, one answer. Raises PrimaseError."""
        try:
            return rpc(request, timeout=self.timeout_s, metadata=self.metadata)
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error

    def stream(
        self,
        rpc: "grpc.UnaryStreamMultiCallable[RequestT, ResponseT]",
        exchange: Exchange[ItemT, RequestT, ResponseT, ValueT],
    ) -> Iterator[ItemResult[ValueT]]:
        """The exchange over a streaming call."""

        def answers(request: RequestT) -> Generator[ResponseT, None, None]:
            responses = rpc(request, timeout=self.timeout_s, metadata=self.metadata)
            try:
                yield from responses
            finally:
                responses.cancel()

        return _run(answers, exchange)

    def repeat(
        self,
        rpc: "grpc.UnaryUnaryMultiCallable[RequestT, ResponseT]",
        exchange: Exchange[ItemT, RequestT, ResponseT, ValueT],
    ) -> Iterator[ItemResult[ValueT]]:
        """The exchange over a unary call."""

        def answers(request: RequestT) -> Generator[ResponseT, None, None]:
            yield rpc(request, timeout=self.timeout_s, metadata=self.metadata)

        return _run(answers, exchange)


def _run(
    answers: Answers[RequestT, ResponseT],
    exchange: Exchange[ItemT, RequestT, ResponseT, ValueT],
) -> Iterator[ItemResult[ValueT]]:
    while exchange.advance():
        try:
            if (request := exchange.request()) is not None:
                with closing(answers(request)) as responses:
                    for response in responses:
                        yield from exchange.read(response)
        except grpc.RpcError as error:
            exchange.failed(from_rpc_error(error))
        else:
            yield from exchange.end()
