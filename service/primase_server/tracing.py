"""A trace of each call: the call, its time in the queue, and its steps on the device.

Spans are made when a call has ended, from what was noted of it, so that work never waits for them.
"""

import time
from typing import TYPE_CHECKING

from primase.reasons import REASONS
from primase_gateway.tracing import HEADER, read
from primase_server.rpc.call import OK, Call

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

NANOSECONDS = 1_000_000_000


class CallTracing:
    """A CallObserver. Nothing that a caller sent is in a span but its trace's and request's ids."""

    def __init__(self, provider: "TracerProvider") -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("primase_server")

    def call_finished(self, call: Call) -> None:
        """See CallObserver."""
        from opentelemetry.trace import SpanKind, StatusCode, set_span_in_context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        parent = TraceContextTextMapPropagator().extract({HEADER: _traceparent(call)})
        ended_ns = time.time_ns()
        arrived_ns = ended_ns - _ns(call.elapsed_ms / 1000)
        service, _, method = call.method.removeprefix("/").partition("/")
        span = self._tracer.start_span(
            f"{service}/{method}",
            parent,
            SpanKind.SERVER,
            {
                "rpc.system": "grpc",
                "rpc.service": service,
                "rpc.method": method,
                "rpc.grpc.status_code": 0 if call.outcome == OK else _code(call.outcome),
                "primase.model": call.model,
                "primase.reason": call.outcome,
                "primase.request_id": call.request_id,
            },
            start_time=arrived_ns,
        )
        if call.outcome != OK:
            span.set_status(StatusCode.ERROR)
        if call.spent is not None:
            within = set_span_in_context(span)
            admitted_ns = arrived_ns + _ns(call.admitted_s)
            began_ns = admitted_ns + _ns(call.spent.queue_s)
            queue = self._tracer.start_span("queue", within, start_time=admitted_ns)
            queue.end(began_ns)
            steps = self._tracer.start_span(
                "device steps",
                within,
                attributes={"primase.num_steps": call.spent.num_steps},
                start_time=began_ns,
            )
            steps.end(admitted_ns + _ns(call.spent.end_s))
        span.end(ended_ns)

    def close(self) -> None:
        """Send what is left, for as long as that may take. Blocks."""
        self._provider.shutdown()


def _traceparent(call: Call) -> str:
    metadata = call.context.invocation_metadata() or ()
    return next((read(str(value)) for key, value in metadata if key == HEADER), "")


def _code(reason: str) -> int:
    number: int = REASONS[reason].code.value[0]
    return number


def _ns(seconds: float) -> int:
    return int(seconds * NANOSECONDS)
