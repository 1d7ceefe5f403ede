"""A collector of traces: takes OTLP over gRPC, and keeps what it is sent."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc
from opentelemetry.proto.trace.v1 import trace_pb2

WAIT_S = 20.0


@dataclass(frozen=True)
class Span:
    """One span, and the service that sent it."""

    service: str
    sent: trace_pb2.Span

    @property
    def attributes(self) -> dict[str, Any]:
        return {
            a.key: getattr(a.value, str(a.value.WhichOneof("value"))) for a in self.sent.attributes
        }


@dataclass
class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """All spans by name."""

    endpoint: str = ""
    spans: dict[str, Span] = field(default_factory=dict)
    requests: list[pb.ExportTraceServiceRequest] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def Export(
        self, request: pb.ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> pb.ExportTraceServiceResponse:
        with self.changed:
            self.requests.append(request)
            for of_resource in request.resource_spans:
                named = {a.key: a.value.string_value for a in of_resource.resource.attributes}
                for scope in of_resource.scope_spans:
                    for sent in scope.spans:
                        self.spans[sent.name] = Span(named["service.name"], sent)
            self.changed.notify_all()
        return pb.ExportTraceServiceResponse()

    def wait_for(self, *names: str) -> dict[str, Span]:
        """All spans, once there are some of these names."""
        with self.changed:
            assert self.changed.wait_for(lambda: set(names) <= set(self.spans), WAIT_S), self.spans
            return dict(self.spans)


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector on a port of its own."""
    collector = Collector()
    server = grpc.server(ThreadPoolExecutor(2))
    add = trace_service_pb2_grpc.add_TraceServiceServicer_to_server
    add(collector, server)  # type: ignore[no-untyped-call]
    collector.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield collector
    finally:
        server.stop(None)
