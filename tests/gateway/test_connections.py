"""More connections than there may be, and clients that do not read, on real sockets."""

import json
import select
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from primase_gateway import protocol
from primase_gateway.settings import Settings
from tests.certificate import self_signed
from tests.conditions import until
from tests.gateway import scripted
from tests.gateway.live import Live, gateway
from tests.gateway.nim import GENERATE
from tests.gateway.scripted import Script, ScriptedServer

MAX_CONNECTIONS = 3
NUM_SPARE = 2
READ_S = 0.25
# Room for one answer to four items, and not for another to two.
MAX_HELD_BYTES = 5 * 1024 * 1280 * 4
BODY = b'{"items":[{"sequence":"MKT"}]}'
ENCODE = "/api/v2/esm2-8m/encode/"
# So that little lies in the kernel, which takes what the client does not.
RECEIVE_BUFFER_BYTES = 4096


@pytest.fixture(scope="module")
def narrow(service: ScriptedServer) -> Iterator[Live]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(protocol, "NUM_SPARE", NUM_SPARE)
        settings = Settings(server=service.address, max_connections=MAX_CONNECTIONS)
        with gateway(settings) as running:
            yield running


@contextmanager
def opened(live: Live, number: int) -> Iterator[list[socket.socket]]:
    """Connections that the gateway knows, since each has been answered once."""
    with ExitStack() as stack:
        found = [
            stack.enter_context(socket.create_connection((live.host, live.port), timeout=20))
            for _ in range(number)
        ]
        for connection in found:
            connection.sendall(request("/v1/health/live"))
            assert received(connection).startswith(b"HTTP/1.1 200")
        yield found


def request(path: str, body: bytes = b"") -> bytes:
    method = "POST" if body else "GET"
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def received(connection: socket.socket) -> bytes:
    """One answer that says its length."""
    answer = b""
    while b"\r\n\r\n" not in answer:
        piece = connection.recv(65536)
        assert piece, answer
        answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    [length] = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")]
    while len(body) < int(length.partition(b":")[2]):
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def is_let_in(live: Live) -> bool:
    return httpx.post(f"{live.url}{ENCODE}", content=BODY).status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        (ENCODE, BODY, {"error": "there are too many connections"}),
        ("/api/v1/esm2-8m/encode/", BODY, {"detail": "there are too many connections"}),
        (GENERATE, b'{"sequence":"ACGT"}', {"error": "there are too many connections"}),
        ("/primase/v1/models", b"", {"code": 8, "message": "there are too many connections"}),
    ],
)
def test_one_too_many_is_told_to_come_back(
    narrow: Live, script: Script, path: str, body: bytes, expected: dict[str, object]
) -> None:
    with opened(narrow, MAX_CONNECTIONS) as within:
        script.requests.clear()
        with socket.create_connection((narrow.host, narrow.port), timeout=20) as beyond:
            beyond.sendall(request(path, body))
            head, _, text = received(beyond).partition(b"\r\n\r\n")
            assert beyond.recv(1) == b""
        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nretry-after: 1\r\n" in head
        assert b"\r\nconnection: close" in head
        assert expected.items() <= json.loads(text).items()
        assert script.requests == []
        within[0].sendall(request(ENCODE, BODY))
        assert received(within[0]).startswith(b"HTTP/1.1 200")
    until(lambda: is_let_in(narrow), 20)


@pytest.mark.parametrize("path", ["/v1/health/live", "/v1/health/ready/", "/v1/metrics"])
def test_health_and_metrics_are_told_all_the_same(narrow: Live, script: Script, path: str) -> None:
    with opened(narrow, MAX_CONNECTIONS):
        answer = httpx.get(f"{narrow.url}{path}")
    assert answer.status_code == 200
    assert answer.headers["connection"] == "close"


def test_beyond_the_spare_ones_a_connection_is_closed_unread(narrow: Live, script: Script) -> None:
    with (
        opened(narrow, MAX_CONNECTIONS),
        ExitStack() as stack,
    ):
        address = (narrow.host, narrow.port)
        many = [
            stack.enter_context(socket.create_connection(address, timeout=20))
            for _ in range(NUM_SPARE + 5)
        ]
        answers = [connection.recv(4096) for connection in many[NUM_SPARE:]]
        assert all(answer.startswith(b"HTTP/1.1 503 ") for answer in answers)
        assert all(b"\r\nretry-after: 1\r\n" in answer for answer in answers)
    until(lambda: is_let_in(narrow), 20)


@pytest.fixture(scope="module")
def large(service: ScriptedServer) -> Iterator[Live]:
    settings = Settings(server=service.address, read_s=READ_S, max_held_bytes=MAX_HELD_BYTES)
    with gateway(settings) as running:
        yield running


@pytest.fixture
def model(script: Script) -> str:
    """An answer of its per-token values has some 40 MB."""
    script.models["esm2-650m"] = scripted.model("esm2-650m", last_layer=33, width=1280)
    return "/api/v2/esm2-650m/encode/"


def asked_for(num_items: int) -> bytes:
    items = [{"sequence": "M" * 1024}] * num_items
    return json.dumps({"params": {"include": ["per_token"]}, "items": items}).encode()


@contextmanager
def small_window(live: Live) -> Iterator[socket.socket]:
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        connection.settimeout(20)
        connection.connect((live.host, live.port))
        yield connection


def closed_by(connection: socket.socket) -> bool:
    """Whether the other side gives it up, seen without reading."""
    gone = select.poll()
    gone.register(connection, select.POLLERR | select.POLLHUP)
    return bool(gone.poll(20_000))


def test_who_does_not_read_is_cut_off(
    large: Live, model: str, caplog: pytest.LogCaptureFixture
) -> None:
    with small_window(large) as connection:
        connection.sendall(request(model, asked_for(4)))
        connection.recv(1)
        assert closed_by(connection)
    assert "reader_too_slow" in caplog.text

    def is_answered() -> bool:
        return httpx.post(f"{large.url}{model}", content=asked_for(2), timeout=60).is_success

    until(is_answered, 20)


def test_who_reads_gets_all_of_it(large: Live, model: str) -> None:
    """In many windows, each with a buffer that is full."""
    with small_window(large) as connection:
        connection.sendall(request(model, asked_for(1)))
        num_bytes, last = 0, b""
        while not last.endswith(b"0\r\n\r\n"):
            piece = connection.recv(65536)
            assert piece
            num_bytes += len(piece)
            last = (last + piece)[-8:]
    assert num_bytes > 5_000_000


def test_who_waits_for_an_answer_is_left_alone(large: Live, script: Script) -> None:
    script.hang = True
    with small_window(large) as connection:
        connection.sendall(request(ENCODE, BODY))
        assert script.hanging.wait(20)
        waited_s = time.monotonic() + 2 * READ_S
        until(lambda: time.monotonic() >= waited_s)
        script.cancelled.set()
        assert received(connection).startswith(b"HTTP/1.1 200")


def test_it_is_so_over_tls(
    service: ScriptedServer, model: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cert, key = self_signed(tmp_path)
    settings = Settings(server=service.address, read_s=READ_S, tls_cert=cert, tls_key=key)
    context = ssl.create_default_context(cafile=str(cert))
    with (
        gateway(settings) as live,
        small_window(live) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        connection.sendall(request(model, asked_for(4)))
        connection.recv(1)
        assert closed_by(connection)
    assert "reader_too_slow" in caplog.text
