"""Clients that take their time to ask, on real sockets."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from primase_gateway.protocol import MAX_HEAD_BYTES
from primase_gateway.settings import Settings
from tests.conditions import until
from tests.gateway.live import Live, gateway
from tests.gateway.scripted import Script, ScriptedServer

REQUEST_S = 0.4
BODY = b'{"items":[{"sequence":"MKT"}]}'
HEAD = (
    b"POST /api/v2/esm2-8m/encode/ HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Type: application/json\r\n"
)
WHOLE = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY


@pytest.fixture(scope="module")
def impatient(service: ScriptedServer) -> Iterator[Live]:
    with gateway(Settings(server=service.address, request_s=REQUEST_S)) as running:
        yield running


@contextmanager
def connection(live: Live) -> Iterator[socket.socket]:
    with socket.create_connection((live.host, live.port), timeout=20) as opened:
        yield opened


def all_received(opened: socket.socket) -> bytes:
    """Until the other side closes."""
    received = b""
    while piece := opened.recv(65536):
        received += piece
    return received


def receive_answer(opened: socket.socket) -> bytes:
    received = b""
    while b"]}}]}" not in received:
        piece = opened.recv(65536)
        assert piece, received
        received += piece
    return received


@pytest.mark.parametrize(
    "begun",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(HEAD[:30], id="half a head"),
        pytest.param(WHOLE[:-3], id="half a body"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n12", id="half a chunk"),
    ],
)
def test_what_never_comes_is_not_waited_for(impatient: Live, script: Script, begun: bytes) -> None:
    with connection(impatient) as opened:
        started_s = time.monotonic()
        opened.sendall(begun)
        answer = all_received(opened)
    assert REQUEST_S * 0.9 < time.monotonic() - started_s < 10
    assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert script.requests == []


@pytest.mark.parametrize("slow", [WHOLE, WHOLE[-len(BODY) :]], ids=["head", "body"])
def test_a_byte_at_a_time_gains_nothing(impatient: Live, script: Script, slow: bytes) -> None:
    with connection(impatient) as opened:
        opened.sendall(WHOLE[: -len(slow)])
        opened.settimeout(REQUEST_S / 10)
        answer = b""
        for byte in slow:
            opened.sendall(bytes([byte]))
            try:
                answer = opened.recv(65536)
            except TimeoutError:
                continue
            break
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert script.requests == []


def test_the_second_request_of_a_connection_has_its_own_time(
    impatient: Live, script: Script
) -> None:
    with connection(impatient) as opened:
        opened.sendall(WHOLE)
        receive_answer(opened)
        opened.sendall(HEAD[:30])
        assert all_received(opened).startswith(b"HTTP/1.1 408 ")


def test_idle_connections_and_long_answers_are_left_alone(impatient: Live, script: Script) -> None:
    with connection(impatient) as opened:
        for pause_s in (REQUEST_S * 1.5, 0):
            opened.sendall(WHOLE)
            receive_answer(opened)
            rested_s = time.monotonic() + pause_s
            until(lambda until_s=rested_s: time.monotonic() >= until_s)  # type: ignore[misc]


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(b"X-Long: " + b"x" * MAX_HEAD_BYTES, id="long"),
        pytest.param(b"X-Many: y\r\n" * (MAX_HEAD_BYTES // 8), id="many"),
    ],
)
def test_headers_without_end_are_refused(impatient: Live, headers: bytes) -> None:
    with connection(impatient) as opened:
        opened.sendall(HEAD + headers)
        received = opened.recv(65536)
    assert received.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")


def test_what_is_not_http_is_refused(impatient: Live) -> None:
    with connection(impatient) as opened:
        opened.sendall(b"PRI * HTTP/2.0 and so on\0\r\n\r\n")
        assert all_received(opened).startswith(b"HTTP/1.1 400 Bad Request\r\n")
