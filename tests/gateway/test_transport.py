"""Bodies, connections and identities, whatever the dialect."""

import gzip
import json
import logging
import re
import socket
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import QueueHandler
from queue import SimpleQueue
from typing import Any

import httpx
import pytest

from primase_gateway.settings import Settings
from tests.gateway import scripted, scripted_evo2
from tests.gateway.live import Live, gateway
from tests.gateway.scripted import Script, ScriptedServer

ENCODE = "/api/v2/esm2-8m/encode/"
BODY = b'{"items":[{"sequence":"MKT"}]}'
MIB = 1 << 20


@contextmanager
def connection(live: Live) -> Iterator[socket.socket]:
    with socket.create_connection((live.host, live.port), timeout=20) as opened:
        yield opened


def receive_until(opened: socket.socket, end: bytes) -> bytes:
    received = b""
    while end not in received:
        piece = opened.recv(65536)
        assert piece, received
        received += piece
    return received


def head(path: str = ENCODE, length: int = len(BODY), *more: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {length}", *more]
    return "\r\n".join([*lines, "", ""]).encode()


def test_expect_continue_is_answered_before_the_body(live: Live, script: Script) -> None:
    with connection(live) as opened:
        opened.sendall(head(ENCODE, len(BODY), "Expect: 100-continue"))
        assert receive_until(opened, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        opened.sendall(BODY)
        answer = receive_until(opened, b"]}}]}")
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")


def test_an_offer_to_upgrade_is_ignored(live: Live, script: Script) -> None:
    offer = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQ")
    with connection(live) as opened:
        opened.sendall(head(ENCODE, len(BODY), *offer) + BODY)
        answer = receive_until(opened, b"]}}]}")
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_refused_expectation_asks_for_no_body(live: Live, script: Script) -> None:
    with connection(live) as opened:
        opened.sendall(head("/api/v2/esm2-8m/no/", len(BODY), "Expect: 100-continue"))
        assert receive_until(opened, b"\r\n\r\n").startswith(b"HTTP/1.1 404")


def test_one_connection_serves_many_requests(live: Live, script: Script) -> None:
    with connection(live) as opened:
        for _ in range(3):
            opened.sendall(head() + BODY)
            assert receive_until(opened, b"]}}]}").startswith(b"HTTP/1.1 200 OK")


def test_a_body_without_a_length(client: httpx.Client) -> None:
    answer = client.post(ENCODE, content=iter([BODY[:9], BODY[9:]]))
    assert answer.status_code == 200


def bomb(num_bytes: int) -> bytes:
    return gzip.compress(b" " * num_bytes, 9)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(bomb(64 * MIB), id="one member"),
        pytest.param(bomb(MIB) * 64, id="many members"),
    ],
)
def test_a_gzip_bomb_is_put_out(client: httpx.Client, body: bytes) -> None:
    answer = client.post(ENCODE, content=body, headers={"content-encoding": "gzip"})
    assert answer.status_code == 413
    message = f"the request body is larger than {4 * MIB} bytes"
    assert answer.json() == {"error": message, "detail": message}


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_too_large(client: httpx.Client, declared: bool) -> None:
    body = b" " * (5 * MIB)
    answer = client.post(ENCODE, content=body if declared else iter([body]))
    assert answer.status_code == 413


@pytest.mark.parametrize("size_over", [0, 1])
def test_the_limit_is_exact_after_decompression(client: httpx.Client, size_over: int) -> None:
    body = BODY + b" " * (4 * MIB - len(BODY) + size_over)
    answer = client.post(ENCODE, content=gzip.compress(body), headers={"content-encoding": "gzip"})
    assert answer.status_code == (413 if size_over else 200)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (BODY, "gzip data is damaged"),
        (b"", "gzip data ends too early"),
        (gzip.compress(BODY)[:-1], "gzip data ends too early"),
        (gzip.compress(BODY)[:-8] + b"\0" * 8, "gzip data is damaged"),
        (gzip.compress(BODY) + b"more", "gzip data is damaged"),
        (zlib.compress(BODY), "gzip data is damaged"),
    ],
)
def test_damaged_gzip(client: httpx.Client, body: bytes, message: str) -> None:
    answer = client.post(ENCODE, content=body, headers={"content-encoding": "gzip"})
    assert (answer.status_code, answer.json()) == (400, {"error": {"body": [message]}})


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "zstd"])
def test_other_encodings(client: httpx.Client, encoding: str) -> None:
    answer = client.post(ENCODE, content=BODY, headers={"content-encoding": encoding})
    assert answer.status_code == 400
    assert answer.json() == {"error": {"body": ["Content-Encoding must be gzip or identity"]}}


def test_the_request_id_goes_all_the_way(client: httpx.Client, script: Script) -> None:
    answer = client.post(ENCODE, content=BODY, headers={"x-request-id": "run-7/3"})
    assert answer.headers["x-request-id"] == "run-7/3"
    assert script.metadata[0]["x-request-id"] == "run-7/3"
    assert script.metadata[0]["x-primase-is-back"] == "1"


@pytest.mark.parametrize("given", [None, "", "a b", "x" * 129])
def test_a_request_without_a_usable_id_gets_one(
    client: httpx.Client, script: Script, given: str | None
) -> None:
    headers = {} if given is None else {"x-request-id": given}
    answer = client.post(ENCODE, content=BODY, headers=headers)
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])
    assert script.metadata[0]["x-request-id"] == answer.headers["x-request-id"]


@pytest.fixture
def log_lines() -> Iterator[SimpleQueue[logging.LogRecord]]:
    lines: SimpleQueue[logging.LogRecord] = SimpleQueue()
    handler = QueueHandler(lines)
    access = logging.getLogger("primase_gateway.edge")
    access.addHandler(handler)
    access.setLevel(logging.INFO)
    yield lines
    access.removeHandler(handler)


def fields_of(lines: SimpleQueue[logging.LogRecord], request_id: str) -> dict[str, Any]:
    """What is logged of one request; its line follows its answer."""
    while True:
        line = lines.get(timeout=20)
        fields: dict[str, Any] = vars(line)["fields"]
        if fields["request_id"] == request_id:
            assert line.getMessage() == "request"
            return fields


def test_one_log_line_without_the_sequence(
    client: httpx.Client, log_lines: SimpleQueue[logging.LogRecord]
) -> None:
    answer = client.post(f"{ENCODE}?key=secret", content=BODY, headers={"x-request-id": "r1"})
    fields = fields_of(log_lines, "r1")
    assert fields.pop("ms") >= 0
    assert fields == {
        "method": "POST",
        "path": ENCODE,
        "status": 200,
        "bytes": len(answer.content),
        "request_id": "r1",
    }


def test_a_client_that_hangs_up_within_its_body_is_no_fault(
    live: Live, script: Script, log_lines: SimpleQueue[logging.LogRecord]
) -> None:
    with connection(live) as opened:
        opened.sendall(head(ENCODE, len(BODY), "Expect: 100-continue", "X-Request-Id: r2"))
        receive_until(opened, b"\r\n\r\n")
        opened.sendall(BODY[:5])
    assert fields_of(log_lines, "r2")["status"] == 499
    assert script.requests == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (ENCODE, BODY),
        ("/biology/arc/evo2/forward", b'{"sequence":"A","output_layers":["norm"]}'),
        ("/primase/v1/models/evo2-7b:streamGenerate", b'{"items":[{"prompt":"A"}]}'),
        ("/biology/arc/evo2/generate", b'{"sequence":"A"}'),
        ("/primase/v1/models/evo2-7b:scoreVariants", b'{"items":[{"reference":"A"}]}'),
    ],
)
def test_a_client_that_hangs_up_cancels_the_work(
    live: Live, script: Script, path: str, body: bytes
) -> None:
    script.models["evo2-7b"] = scripted_evo2.model()
    script.hang = True
    with connection(live) as opened:
        opened.sendall(head(path, len(body)) + body)
        assert script.hanging.wait(20)
        assert not script.cancelled.is_set()
    assert script.cancelled.wait(20)


def test_a_client_that_stops_reading_frees_what_was_held(
    service: ScriptedServer, script: Script
) -> None:
    # Room for one such answer at a time: the second fits only if the first was given up.
    model = scripted.model("esm2-650m", last_layer=33, width=1280)
    script.models["esm2-650m"] = model
    body = {"params": {"include": ["per_token"]}, "items": [{"sequence": "M" * 2048}]}
    text = json.dumps(body).encode()
    num_bytes = 2048 * 1280 * 4
    path = "/api/v2/esm2-650m/encode/"
    settings = Settings(server=service.address, max_held_bytes=num_bytes)
    with gateway(settings) as live, httpx.Client(base_url=live.url, timeout=60) as client:
        with connection(live) as opened:
            opened.sendall(head(path, len(text)) + text)
            assert receive_until(opened, b"representations").startswith(b"HTTP/1.1 200 OK")
            refused = client.post(path, content=text)
            assert refused.status_code == 503
            assert refused.headers["retry-after"] == "5"
        while (answer := client.post(path, content=text)).status_code == 503:
            pass
        assert len(answer.json()["results"][0]["representations"]["33"]) == 2048


def test_other_requests_are_answered_while_a_large_answer_is_written(
    live: Live, script: Script
) -> None:
    model = scripted.model("esm2-650m", last_layer=33, width=1280)
    script.models["esm2-650m"] = model
    body = {"params": {"include": ["per_token"]}, "items": [{"sequence": "M" * 2048}] * 4}
    slow = threading.Thread(
        target=httpx.post,
        args=(f"{live.url}/api/v2/esm2-650m/encode/",),
        kwargs={"json": body, "timeout": 60},
    )
    slow.start()
    waits_s = []
    with httpx.Client(base_url=live.url) as client:
        while slow.is_alive():
            waits_s.append(client.get("/v1/health/live").elapsed.total_seconds())
    assert len(waits_s) > 10
    assert sorted(waits_s)[len(waits_s) // 2] < 0.25


@pytest.fixture(scope="module")
def guarded(service: ScriptedServer) -> Iterator[Live]:
    with gateway(Settings(server=service.address, token="s3cret")) as running:
        yield running


@pytest.mark.parametrize(
    ("header", "http_status"),
    [
        ("Token s3cret", 200),
        ("Bearer s3cret", 200),
        ("token  s3cret", 200),
        ("Token wrong", 401),
        ("Token s3cret2", 401),
        ("Token", 401),
        ("Basic s3cret", 401),
        ("s3cret", 401),
        ("Token s\xe9cret", 401),
        (None, 401),
    ],
)
def test_a_configured_token_is_wanted(
    guarded: Live, script: Script, header: str | None, http_status: int
) -> None:
    headers = {} if header is None else {b"authorization": header.encode("latin-1")}
    answer = httpx.post(f"{guarded.url}{ENCODE}", content=BODY, headers=headers)
    assert answer.status_code == http_status
    if http_status == 401:
        assert answer.json() == {"detail": "Invalid token."}
        assert answer.headers["www-authenticate"] == "Token"


@pytest.mark.parametrize("path", ["/primase/v1/models", "/primase/v1/models/esm2-8m"])
def test_native_routes_want_it_too(guarded: Live, script: Script, path: str) -> None:
    answer = httpx.get(guarded.url + path)
    assert answer.status_code == 401
    assert answer.json()["code"] == 16


def test_health_wants_no_token(guarded: Live, script: Script) -> None:
    assert httpx.get(f"{guarded.url}/v1/health/ready").status_code == 200


@pytest.mark.parametrize("header", ["Token any", "Bearer any", "nonsense", ""])
def test_any_token_will_do_where_none_is_configured(client: httpx.Client, header: str) -> None:
    answer = client.post(ENCODE, content=BODY, headers={"authorization": header})
    assert answer.status_code == 200


def test_a_service_that_is_not_there(script: Script) -> None:
    with gateway(Settings(server="127.0.0.1:1")) as live:
        answer = httpx.post(live.url + ENCODE, content=BODY)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert answer.json()["detail"] == "the model service cannot be reached"


def test_a_deadline_that_passes(service: ScriptedServer, script: Script) -> None:
    script.hang = True
    with gateway(Settings(server=service.address, deadline_s=0.2)) as live:
        answer = httpx.post(live.url + ENCODE, content=BODY)
    assert answer.status_code == 504
    assert answer.json() == {"error": "the deadline passed", "detail": "the deadline passed"}
