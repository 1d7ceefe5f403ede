"""Spans of requests, sent by OTLP to a collector; the extra `telemetry` brings what they need.

A span begins with the request and is told to the service in `traceparent`, so that its spans become
children of this one. Nothing that a client sent is in it but its trace's and request's ids.
"""

import re
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

METHODS = frozenset(("GET", "HEAD", "OPTIONS", "POST"))
HEADER = "traceparent"
TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
EXPORT_S = 2  # then what was to be sent is dropped
FIRST_FAULT = 500

current_traceparent: ContextVar[str] = ContextVar("current_traceparent", default="")
"""Of the request in progress, for the service; empty where nobody traces it."""


def read(given: str) -> str:
    """A header's value if it is one, else nothing."""
    return given if TRACEPARENT.fullmatch(given) else ""


def provider(name: str, endpoint: str) -> "TracerProvider":
    """What makes spans of the service `name`, and sends them in the background to `endpoint`.

    That is http://HOST:PORT, or https:// with TLS. Spans are dropped while nobody listens there.
    Raises ValueError without the extra.
    """
    try:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise ValueError("traces need more packages: install the extra `telemetry`") from error
    made = TracerProvider(resource=Resource.create({"service.name": name}))
    made.add_span_processor(
        BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint, timeout=EXPORT_S))
    )
    return made


class Tracing:
    """Makes a span for each request."""

    def __init__(self, provider: "TracerProvider") -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("primase_gateway")

    def begin(self, traceparent: str, method: str) -> "Span":
        """A span that goes on with the client's trace, if it has one; it becomes the current."""
        from opentelemetry.trace import SpanKind, format_span_id, format_trace_id
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        parent = TraceContextTextMapPropagator().extract({HEADER: traceparent})
        method = method if method in METHODS else "_OTHER"
        span = self._tracer.start_span(
            method, parent, SpanKind.SERVER, {"http.request.method": method}
        )
        context = span.get_span_context()
        ids = f"{format_trace_id(context.trace_id)}-{format_span_id(context.span_id)}"
        current_traceparent.set(f"00-{ids}-{context.trace_flags:02x}")
        return span

    def end(self, span: "Span", route: str, status: int, request_id: str) -> None:
        """The request has been answered."""
        from opentelemetry.trace import StatusCode

        span.set_attributes(
            {
                "http.route": route,
                "http.response.status_code": status,
                "primase.request_id": request_id,
            }
        )
        if status >= FIRST_FAULT:
            span.set_status(StatusCode.ERROR)
        span.end()

    def close(self) -> None:
        """Send what is left, for as long as that may take. Blocks."""
        self._provider.shutdown()
