"""What every call of the contract is wrapped in: a log line, errors as statuses, validation.

Each is an async context manager around the handler; `EdgeInterceptor` nests them in that order.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, Protocol

import grpc
import structlog
from google.protobuf.message import DecodeError, Message

from primase_server.access.caller import Caller
from primase_server.access.gate import OPEN_CALLS, Gate
from primase_server.engine.failures import log_exception
from primase_server.errors import (
    InternalError,
    InvalidRequest,
    PrimaseError,
    QueueFull,
    QuotaExceeded,
)
from primase_server.rpc.call import Call, Context, begin_call, current_call
from primase_server.rpc.status import GivenStatus, reason_of, to_status
from primase_server.rpc.validation import violations

log = structlog.get_logger()

Parse = Callable[[bytes], Message]

# Above this a request is checked on another thread, so that the event loop goes on answering.
LARGE_REQUEST_BYTES = 64 * 1024

# Read by every gRPC library (gRFC A6).
PUSHBACK_HEADER = "grpc-retry-pushback-ms"


class CallObserver(Protocol):
    """Told of every finished call; the place where metrics hook in."""

    def call_finished(self, call: Call) -> None:
        """It has its outcome, and all that was noted of it."""


class NoObserver:
    """Observes nothing."""

    def call_finished(self, call: Call) -> None:
        """Do nothing."""


class CallObservers:
    """Several as one."""

    def __init__(self, observers: Sequence[CallObserver]) -> None:
        self._observers = observers

    def call_finished(self, call: Call) -> None:
        """Tell each of them."""
        for observer in self._observers:
            observer.call_finished(call)


@asynccontextmanager
async def logged(call: Call, observer: CallObserver) -> AsyncIterator[None]:
    """One line a call: what, how it ended, how long it took. Never what was in it."""
    try:
        yield
    finally:
        observer.call_finished(call)
        log.info(
            "call",
            method=call.method,
            outcome=call.outcome,
            elapsed_ms=round(call.elapsed_ms, 1),
            request_id=call.request_id,
            **_known(call),
        )


def _known(call: Call) -> dict[str, str | float]:
    known: dict[str, str | float] = {}
    if call.caller.name:
        known["caller"] = call.caller.name
    if call.model:
        known["model"] = call.model
    if call.spent is not None:
        known["queue_ms"] = round(call.spent.queue_s * 1000, 1)
        known["compute_ms"] = round(call.spent.compute_s * 1000, 1)
    return known


@asynccontextmanager
async def errors_as_status(call: Call) -> AsyncIterator[None]:
    """End the call with the status of the error that was raised."""
    try:
        yield
    except PrimaseError as error:
        await _abort(call, error)
    except (asyncio.CancelledError, GeneratorExit):
        call.outcome = "CANCELLED"
        raise
    except Exception as error:  # noqa: BLE001  the caller must get a status
        log_exception(f"{call.method} failed", error, call.request_id)
        await _abort(call, InternalError("the server failed on this request; its log says why"))


@asynccontextmanager
async def released(call: Call) -> AsyncIterator[None]:
    """Let go of the weights that the call was answered from."""
    try:
        yield
    finally:
        call.release()


async def _abort(call: Call, error: PrimaseError) -> None:
    call.outcome = reason_of(error)
    status = to_status(error, call.request_id)
    code = next(code for code in grpc.StatusCode if code.value[0] == status.code)
    headers: tuple[tuple[str, str | bytes], ...] = (
        *call.trailers,
        ("grpc-status-details-bin", status.SerializeToString()),
        *retry_pushback(error, code),
    )
    await call.context.abort(code, status.message, headers)


def retry_pushback(error: PrimaseError, code: grpc.StatusCode) -> tuple[tuple[str, str], ...]:
    """When a client that retries by itself may do so: after this many milliseconds, or -1 never.

    Such clients go by the code alone, and RESOURCE_EXHAUSTED also says what no retry can mend.
    """
    if isinstance(error, GivenStatus):
        return ((PUSHBACK_HEADER, error.pushback),) if error.pushback else ()
    if isinstance(error, QueueFull | QuotaExceeded):
        return ((PUSHBACK_HEADER, str(max(1, round(error.retry_after_s * 1000)))),)
    return ((PUSHBACK_HEADER, "-1"),) if code is grpc.StatusCode.RESOURCE_EXHAUSTED else ()


def parsed(data: bytes, parse: Parse) -> Message:
    """The request. Raises InvalidRequest for what is not one, such as text that is not UTF-8."""
    try:
        return parse(data)
    except DecodeError as error:
        raise InvalidRequest.at("request", "is not a message of the contract") from error


async def validate(request: Message) -> None:
    """Raise InvalidRequest naming every broken rule of `request`."""
    if request.ByteSize() > LARGE_REQUEST_BYTES:
        found = await asyncio.to_thread(violations, request)
    else:
        found = violations(request)
    if found:
        raise InvalidRequest(*found)


class Doorkeeper(Protocol):
    """Knows who may make which call."""

    def let_in(self, method: str, metadata: Sequence[tuple[str, str]], peer: str) -> Caller:
        """Who makes the call. Raises Unauthenticated or PermissionDenied."""


def admit(call: Call, gate: Doorkeeper) -> None:
    """Learn who makes the call. Raises Unauthenticated or PermissionDenied."""
    metadata = [(str(name), str(value)) for name, value in call.context.invocation_metadata() or ()]
    call.caller = gate.let_in(call.method, metadata, call.context.peer())


class EdgeInterceptor(grpc.aio.ServerInterceptor):
    """Wraps the calls of the contract. Health passes untouched, all others only by the gate."""

    def __init__(
        self, observer: CallObserver | None = None, gate: Doorkeeper | None = None
    ) -> None:
        self._observer = observer or NoObserver()
        self._gate: Doorkeeper = gate or Gate()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """The handler of a contract's call with every concern around it."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.startswith(OPEN_CALLS):
            return handler
        if handler.request_streaming:
            return self._streaming_both_ways(method, handler)
        # Parsed below, where what cannot be is an error like any other.
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                self._streaming(method, handler), None, handler.response_serializer
            )
        return grpc.unary_unary_rpc_method_handler(
            self._unary(method, handler), None, handler.response_serializer
        )

    @asynccontextmanager
    async def _around(
        self, method: str, data: bytes, parse: Parse, context: Context
    ) -> AsyncIterator[Message]:
        call = begin_call(method, context)
        async with logged(call, self._observer), errors_as_status(call), released(call):
            call.context.set_trailing_metadata((call.request_id_header,))
            admit(call, self._gate)
            request = parsed(data, parse)
            await validate(request)
            yield request
            call.context.set_trailing_metadata(call.trailers)

    def _streaming_both_ways(self, method: str, handler: Any) -> Any:
        """Reflection: no call of the contract is of this kind."""

        async def respond(requests: AsyncIterator[Message], context: Context) -> AsyncIterator[Any]:
            call = begin_call(method, context)
            async with logged(call, self._observer), errors_as_status(call):
                admit(call, self._gate)
                async for message in handler.stream_stream(requests, context):
                    yield message

        return grpc.stream_stream_rpc_method_handler(
            respond, handler.request_deserializer, handler.response_serializer
        )

    def _unary(self, method: str, handler: Any) -> Any:
        async def respond(data: bytes, context: Context) -> Message:
            around = self._around(method, data, handler.request_deserializer, context)
            async with around as request:
                response: Message = await handler.unary_unary(request, context)
                await current_call().begin_answer()
                return response

        return respond

    def _streaming(self, method: str, handler: Any) -> Any:
        async def respond(data: bytes, context: Context) -> AsyncIterator[Message]:
            around = self._around(method, data, handler.request_deserializer, context)
            async with (
                around as request,
                aclosing(handler.unary_stream(request, context)) as messages,
            ):
                has_begun = False
                async for message in messages:
                    if not has_begun:
                        await current_call().begin_answer()
                        has_begun = True
                    yield message

        return respond
