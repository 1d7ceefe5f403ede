"""A trace of a request, from REST through gRPC to the steps on the device."""

import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

import grpc
import httpx
import pytest

from primase.esm2.v1 import esm2_service_pb2 as pb
from primase.evo2.v1 import evo2_service_pb2 as evo2_pb
from primase_gateway import tracing
from primase_gateway.settings import Settings
from primase_server.settings import Telemetry
from tests.gateway.live import gateway
from tests.rpc.live import SETTINGS, Live, serving
from tests.telemetry.collector import Collector, Span, collecting

ENCODE = "primase.esm2.v1.Esm2Service/Encode"
STREAM_ENCODE = "primase.esm2.v1.Esm2Service/StreamEncode"
GENERATE = "primase.evo2.v1.Evo2Service/Generate"
TRACE_ID, CALLERS_SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE_ID}-{CALLERS_SPAN_ID}-01"
PROTEIN = "MKTAYIAKQRQISFVKSHFSRQ"


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans leave after milliseconds, and not after seconds."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as running:
        yield running


def traced(endpoint: str) -> Telemetry:
    return Telemetry(otlp_endpoint=endpoint)


def is_child(child: Span, parent: Span) -> bool:
    same = child.sent.trace_id == parent.sent.trace_id
    inside = parent.sent.start_time_unix_nano <= child.sent.start_time_unix_nano
    return same and inside and child.sent.parent_span_id == parent.sent.span_id


def test_a_rest_request_is_one_trace_down_to_the_device(collector: Collector) -> None:
    with serving(replace(SETTINGS, telemetry=traced(collector.endpoint))) as service:
        server = f"127.0.0.1:{service.app.grpc_port}"
        with gateway(Settings(server=server, otlp_endpoint=collector.endpoint)) as live:
            answer = httpx.post(
                f"{live.url}/api/v3/esm2-8m/encode",
                json={"items": [{"sequence": PROTEIN}]},
                headers={"traceparent": TRACEPARENT, "x-request-id": "mine"},
            )
            assert answer.status_code == 200
        spans = collector.wait_for("POST", STREAM_ENCODE, "queue", "device steps")
    http, call, queue, steps = (spans[n] for n in ("POST", STREAM_ENCODE, "queue", "device steps"))
    assert (http.service, call.service) == ("primase-gateway", "primase")
    assert http.sent.trace_id.hex() == TRACE_ID
    assert http.sent.parent_span_id.hex() == CALLERS_SPAN_ID
    assert is_child(call, http)
    assert is_child(queue, call)
    assert is_child(steps, call)
    assert queue.sent.end_time_unix_nano == steps.sent.start_time_unix_nano
    assert steps.sent.end_time_unix_nano <= call.sent.end_time_unix_nano
    assert steps.attributes == {"primase.num_steps": 1}
    assert http.attributes == {
        "http.request.method": "POST",
        "http.route": "/api/v3/{slug}/{action}",
        "http.response.status_code": 200,
        "primase.request_id": "mine",
    }
    assert call.attributes["primase.model"] == "esm2-demo"
    assert call.attributes["primase.request_id"] == "mine"
    assert all(PROTEIN.encode() not in r.SerializeToString() for r in collector.requests)


def test_a_generation_tells_its_steps_and_a_refusal_its_reason(collector: Collector) -> None:
    with serving(replace(SETTINGS, telemetry=traced(collector.endpoint))) as service:
        generate(service)
        with pytest.raises(grpc.RpcError):
            service.esm2.Encode(pb.EncodeRequest(model="esm2-8m"))
        spans = collector.wait_for(GENERATE, ENCODE, "device steps")
    assert spans["device steps"].attributes == {"primase.num_steps": 5}
    assert spans["device steps"].sent.parent_span_id == spans[GENERATE].sent.span_id
    refused = spans[ENCODE]
    assert refused.attributes["primase.reason"] == "INVALID_PARAMETER"
    assert refused.attributes["rpc.grpc.status_code"] == 3
    assert refused.sent.status.code == refused.sent.status.STATUS_CODE_ERROR
    assert refused.sent.parent_span_id == b""


def generate(service: Live) -> None:
    options = evo2_pb.GenerateOptions(num_tokens=5)
    item = evo2_pb.GenerateItem(prompt="ACGT")
    service.evo2.Generate(evo2_pb.GenerateRequest(model="evo2-7b", items=[item], options=options))


def test_a_service_and_a_gateway_without_collector_answer_and_stop() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        endpoint = f"http://127.0.0.1:{taken.getsockname()[1] + 1}"
    with serving(replace(SETTINGS, telemetry=traced(endpoint))) as service:
        generate(service)
        started_s = time.monotonic()
    assert time.monotonic() - started_s < 15


@pytest.mark.parametrize("given", ["", "x", TRACEPARENT + "-more", TRACEPARENT.upper(), "00-1-2-3"])
def test_what_is_no_traceparent_is_not_passed_on(given: str) -> None:
    assert tracing.read(given) == ""


def test_a_traceparent_is_passed_on_though_nothing_is_traced_here(collector: Collector) -> None:
    with serving(replace(SETTINGS, telemetry=traced(collector.endpoint))) as service:
        server = f"127.0.0.1:{service.app.grpc_port}"
        with gateway(Settings(server=server)) as live:
            answer = httpx.post(
                f"{live.url}/api/v3/esm2-8m/encode",
                json={"items": [{"sequence": PROTEIN}]},
                headers={"traceparent": TRACEPARENT},
            )
            assert answer.status_code == 200
        call = collector.wait_for(STREAM_ENCODE)[STREAM_ENCODE]
    assert call.sent.trace_id.hex() == TRACE_ID
    assert call.sent.parent_span_id.hex() == CALLERS_SPAN_ID


def test_without_the_packages_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(ValueError, match="install the extra `telemetry`"):
        tracing.provider("primase", "http://127.0.0.1:1")
