"""The installed command with everything on that tells of its inside."""

import httpx
import pytest

from tests.e2e.server import serving
from tests.metrics.scraped import Scraped
from tests.telemetry.collector import collecting

PROTEIN = "MKTAYIAKQRQISFVKSHFSRQLEERLG"
STREAM_ENCODE = "primase.esm2.v1.Esm2Service/StreamEncode"


def test_metrics_traces_and_timings_of_one_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    with collecting() as collector:
        options = ("--metrics-listen=127.0.0.1:0", f"--otlp-endpoint={collector.endpoint}")
        with serving("--demo", "--log-format=json", "--withdraw-s=0", *options) as server:
            answer = httpx.post(
                f"{server.url}/api/v3/esm2-8m/encode",
                json={"items": [{"sequence": PROTEIN}]},
                timeout=30,
            )
            assert answer.status_code == 200
            assert "compute;dur=" in answer.headers["server-timing"]
            spans = collector.wait_for("POST", STREAM_ENCODE, "queue", "device steps")
            call, http = spans[STREAM_ENCODE], spans["POST"]
            assert (call.service, http.service) == ("primase", "primase-gateway")
            assert call.sent.parent_span_id == http.sent.span_id
            listening = server.log.wait_for(lambda line: "metrics_port" in line, 10)
            text = httpx.get(f"http://127.0.0.1:{listening['metrics_port']}/metrics").text
            server.terminate()
            assert server.wait() == 0
    scraped = Scraped.of_text(text)
    assert scraped.number("primase_requests_total", model="esm2-demo", code="OK") == 1
    everything = [*server.log.text, text, *map(str, collector.requests)]
    assert all(PROTEIN not in told for told in everything)
