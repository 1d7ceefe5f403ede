"""What the gateway counts of requests of every dialect, and tells of where their time went."""

import time

import httpx
from prometheus_client.parser import text_string_to_metric_families

from primase_gateway import timings
from primase_gateway.settings import Settings
from tests.gateway.live import gateway
from tests.gateway.scripted import Script, ScriptedServer

ENCODE = "/api/v2/esm2-8m/encode/"
BODY = {"items": [{"sequence": "MKT"}]}
WAIT_S = 20.0


def counted(client: httpx.Client) -> dict[tuple[str, str, str], float]:
    text = client.get("/v1/metrics").text
    samples = (s for family in text_string_to_metric_families(text) for s in family.samples)
    return {
        (s.labels["route"], s.labels["method"], s.labels["code"]): s.value
        for s in samples
        if s.name == "primase_gateway_requests_total"
    }


def test_requests_are_counted_by_the_pattern_of_their_path(
    service: ScriptedServer, script: Script
) -> None:
    with (
        gateway(Settings(server=service.address)) as live,
        httpx.Client(base_url=live.url) as client,
    ):
        assert client.post(ENCODE, json=BODY).status_code == 200
        assert client.post(ENCODE, json={"items": []}).status_code == 400
        assert client.get("/primase/v1/models/esm2-8m").status_code == 200
        assert client.get("/made/up/%22%5C%0A%7Broute=%22x%22%7D").status_code == 404
        assert client.request("BREW", "/made-up").status_code == 404
        wanted = {
            ("/primase/v1/models/{model}", "GET", "200"): 1,
            ("", "GET", "404"): 1,
            ("", "other", "404"): 1,
        }
        # a request is counted once its answer is out
        until_s = time.monotonic() + WAIT_S
        while not wanted.items() <= counted(client).items():
            assert time.monotonic() < until_s, counted(client)
        found = counted(client)
    [route] = {route for route, method, _ in found if method == "POST"}
    assert route == "/api/v2/{slug}/{action}"
    assert (found[route, "POST", "200"], found[route, "POST", "400"]) == (1, 1)


def test_an_answer_tells_where_the_services_time_went(client: httpx.Client, script: Script) -> None:
    assert timings.HEADER not in client.post(ENCODE, json=BODY).headers
    script.trailers = (
        ("x-primase-compute-ms", "31.2"),
        ("x-primase-queue-ms", "0.4"),
        ("x-primase-total-ms", "32.0"),
    )
    told = client.post(ENCODE, json=BODY).headers[timings.HEADER]
    assert told == "queue;dur=0.4, compute;dur=31.2, total;dur=32.0"


def test_only_numbers_are_passed_on() -> None:
    told = timings.begin()
    timings.note((("x-primase-compute-ms", "1, evil;dur=2"), ("x-primase-queue-ms", b"1")))
    assert told == {}
    timings.note((("x-primase-compute-ms", "1.5"), ("x-primase-queue-ms", "x")))
    assert timings.header(told) == "compute;dur=1.5"
    timings.note((("x-primase-total-ms", "9"),))
    assert timings.header(told) == "compute;dur=1.5"
