"""Generation over asyncio calls: a task for each prompt in progress."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TypeVar

import grpc

from primase.aio_transport import AsyncTransport
from primase.generation_call import GenerateResponse
from primase.generation_results import GenerationEvent, Heartbeat, SampleResult
from primase.prompt_exchange import PromptExchange
from primase.prompt_feed import MAX_OPEN_PROMPTS, PromptFeed
from primase.statuses import from_rpc_error

# Events that wait for a reader; beyond, its streams wait.
_MAX_WAITING_EVENTS = 64

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT", bound=GenerateResponse)
SampleT = TypeVar("SampleT")


async def generate(
    transport: AsyncTransport,
    rpc: "grpc.aio.UnaryStreamMultiCallable[RequestT, ResponseT]",
    feed: PromptFeed[RequestT, ResponseT, SampleT],
) -> AsyncGenerator[SampleResult[SampleT], None]:
    """Whole samples, in order."""
    collector = feed.collector()
    feed.num_in_order = 0
    async with aclosing(_events(transport, rpc, feed)) as events:
        async for event in events:
            for result in collector.add(event):
                yield result
            feed.num_in_order = collector.num_prompts


async def stream(
    transport: AsyncTransport,
    rpc: "grpc.aio.UnaryStreamMultiCallable[RequestT, ResponseT]",
    feed: PromptFeed[RequestT, ResponseT, object],
    heartbeats: bool,
) -> AsyncGenerator[GenerationEvent, None]:
    """Events as they come; closing the iterator cancels the calls."""
    async with aclosing(_events(transport, rpc, feed)) as events:
        async for event in events:
            if heartbeats or not isinstance(event, Heartbeat):
                yield event


async def _events(
    transport: AsyncTransport,
    rpc: "grpc.aio.UnaryStreamMultiCallable[RequestT, ResponseT]",
    feed: PromptFeed[RequestT, ResponseT, object],
) -> AsyncGenerator[GenerationEvent, None]:
    waiting: asyncio.Queue[GenerationEvent | Exception | None] = asyncio.Queue(_MAX_WAITING_EVENTS)

    async def work(exchange: PromptExchange[RequestT, ResponseT]) -> None:
        end = None
        try:
            async with aclosing(_events_of(transport, rpc, exchange)) as events:
                async for event in events:
                    await waiting.put(event)
        except Exception as error:  # noqa: BLE001  # it is raised where the events are read
            end = error
        await waiting.put(end)

    tasks: set[asyncio.Task[None]] = set()
    num_open = 0
    try:
        while True:
            while num_open < MAX_OPEN_PROMPTS and (exchange := feed.take()) is not None:
                task = asyncio.create_task(work(exchange))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                num_open += 1
            if not num_open:
                return
            event = await waiting.get()
            if isinstance(event, GenerationEvent):
                yield event
                continue
            num_open -= 1
            if event is not None:
                raise event
    finally:
        left = tuple(tasks)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


async def _events_of(
    transport: AsyncTransport,
    rpc: "grpc.aio.UnaryStreamMultiCallable[RequestT, ResponseT]",
    exchange: PromptExchange[RequestT, ResponseT],
) -> AsyncGenerator[GenerationEvent, None]:
    while (request := exchange.request()) is not None:
        try:
            responses = rpc(request, timeout=transport.timeout_s, metadata=transport.metadata)
            try:
                async for response in responses:
                    for event in exchange.read(response):
                        yield event
            finally:
                responses.cancel()
        except grpc.RpcError as error:
            await asyncio.sleep(exchange.failed(from_rpc_error(error)))
        else:
            exchange.end()
    for event in exchange.leave():
        yield event
