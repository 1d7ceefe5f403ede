"""Generation over blocking calls: a thread for each prompt in progress."""

import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from queue import Queue
from typing import Generic, TypeVar

import grpc

from primase.generation_call import GenerateResponse
from primase.generation_results import GenerationEvent, Heartbeat, SampleResult
from primase.prompt_exchange import PromptExchange
from primase.prompt_feed import MAX_OPEN_PROMPTS, PromptFeed
from primase.statuses import from_rpc_error
from primase.transport import Transport

# Events that wait for a reader; beyond, its streams wait.
_MAX_WAITING_EVENTS = 64

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT", bound=GenerateResponse)
SampleT = TypeVar("SampleT")


def generate(
    transport: Transport,
    rpc: "grpc.UnaryStreamMultiCallable[RequestT, ResponseT]",
    feed: PromptFeed[RequestT, ResponseT, SampleT],
) -> Generator[SampleResult[SampleT], None, None]:
    """Whole samples, in order."""
    collector = feed.collector()
    feed.num_in_order = 0
    with closing(_Run(transport, rpc, feed).events()) as events:
        for event in events:
            yield from collector.add(event)
            feed.num_in_order = collector.num_prompts


def stream(
    transport: Transport,
    rpc: "grpc.UnaryStreamMultiCallable[RequestT, ResponseT]",
    feed: PromptFeed[RequestT, ResponseT, object],
    heartbeats: bool,
) -> Generator[GenerationEvent, None, None]:
    """Events as they come; closing the iterator cancels the calls."""
    with closing(_Run(transport, rpc, feed).events()) as events:
        for event in events:
            if heartbeats or not isinstance(event, Heartbeat):
                yield event


class _Ended:
    """A prompt has no more events."""


class _Run(Generic[RequestT, ResponseT]):
    """The calls in progress. Only `events` may be used, from one thread."""

    def __init__(
        self,
        transport: Transport,
        rpc: "grpc.UnaryStreamMultiCallable[RequestT, ResponseT]",
        feed: PromptFeed[RequestT, ResponseT, object],
    ) -> None:
        self._transport = transport
        self._rpc = rpc
        self._feed = feed
        self._waiting: Queue[GenerationEvent | Exception | _Ended] = Queue(_MAX_WAITING_EVENTS)
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._cancels: set[Callable[[], object]] = set()

    def events(self) -> Generator[GenerationEvent, None, None]:
        """Those of all prompts."""
        num_open = 0
        try:
            while True:
                while num_open < MAX_OPEN_PROMPTS and (exchange := self._feed.take()) is not None:
                    # A daemon, since an iterator that nobody closes must not hold up the exit.
                    threading.Thread(target=self._work, args=(exchange,), daemon=True).start()
                    num_open += 1
                if not num_open:
                    return
                event = self._waiting.get()
                if isinstance(event, GenerationEvent):
                    yield event
                    continue
                num_open -= 1
                if isinstance(event, Exception):
                    raise event
        finally:
            self._stop()
            while num_open:
                num_open -= not isinstance(self._waiting.get(), GenerationEvent)

    def _stop(self) -> None:
        with self._lock:
            self._stopped.set()
            cancels = tuple(self._cancels)
        for cancel in cancels:
            cancel()

    def _work(self, exchange: PromptExchange[RequestT, ResponseT]) -> None:
        end: Exception | _Ended = _Ended()
        try:
            for event in self._events_of(exchange):
                self._waiting.put(event)
        except Exception as error:  # noqa: BLE001  # it is raised where the events are read
            end = error
        self._waiting.put(end)

    def _events_of(
        self, exchange: PromptExchange[RequestT, ResponseT]
    ) -> Iterator[GenerationEvent]:
        while (request := exchange.request()) is not None:
            try:
                with self._answers(request) as responses:
                    for response in responses:
                        yield from exchange.read(response)
            except grpc.RpcError as error:
                if self._stopped.is_set() or self._stopped.wait(
                    exchange.failed(from_rpc_error(error))
                ):
                    return
            else:
                exchange.end()
        yield from exchange.leave()

    @contextmanager
    def _answers(self, request: RequestT) -> Iterator[Iterator[ResponseT]]:
        transport = self._transport
        responses = self._rpc(request, timeout=transport.timeout_s, metadata=transport.metadata)
        with self._lock:
            self._cancels.add(responses.cancel)
        try:
            if self._stopped.is_set():
                responses.cancel()
            yield responses
        finally:
            responses.cancel()
            with self._lock:
                self._cancels.discard(responses.cancel)
