"""The calls that the BioLM pages make with curl, `requests` and R, sent here unchanged."""

import gzip
import json
import socket
import subprocess
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection
from typing import Any

import pytest
import requests

from tests.e2e.proteins import DOCUMENTED, DOCUMENTED_MASKED
from tests.e2e.server import Server

TOKEN_HEADER = {"Authorization": "Token abc123", "Content-Type": "application/json"}
INCLUDE = ["mean", "contacts", "logits", "attentions"]
ENCODE_KEYS = ["sequence_index", "mean_representations", "contacts", "logits", "attentions"]
PREDICT_KEYS = ["logits", "sequence_tokens", "alphabet_tokens"]

# Written over several lines, as on the pages.
ENCODE_BODY = json.dumps(
    {"params": {"include": INCLUDE}, "items": [{"sequence": DOCUMENTED}]}, indent=4
)
PREDICT_BODY = json.dumps({"items": [{"sequence": DOCUMENTED_MASKED}]}, indent=4)
GENERATE_BODY = json.dumps(
    {
        "params": {"temperature": 0.7, "top_p": 0.6, "num_samples": 2, "max_length": 105},
        "items": [{"context": "EVQ"}],
    },
    indent=4,
)

CALLS = {"encode": (ENCODE_BODY, ENCODE_KEYS), "predict": (PREDICT_BODY, PREDICT_KEYS)}

# What the pages give to curl.
HEADERS = [
    part for name, value in TOKEN_HEADER.items() for part in ("--header", f"{name}: {value}")
]
WAITING = ("--http1.1", "--header", "Expect: 100-continue", "--expect100-timeout", "60")
# And what other versions and users of libcurl send.
CURL_FORMS: Mapping[str, Sequence[str]] = {
    "as documented": ("--location", *HEADERS),
    "a form, by its header": ("--location", *HEADERS[:2]),
    "neither token nor type": ("--header", "Content-Type:"),
    "waits to be told to go on": (*WAITING, *HEADERS),
    "RCurl": ("--location", "--header", "Accept: */*", *HEADERS, *WAITING),
    "HTTP/1.0": ("--http1.0", *HEADERS),
    "asks for HTTP/2": ("--http2", *HEADERS),
    "in chunks": ("--header", "Transfer-Encoding: chunked", *HEADERS),
    "accepts gzip": ("--compressed", *HEADERS),
}


def curl(*arguments: str, body: bytes) -> tuple[Any, str]:
    """The JSON that curl got, and the headers that went to and fro."""
    ran = subprocess.run(
        ("curl", "--silent", "--verbose", "--max-time", "30", "--data-binary", "@-", *arguments),
        input=body,
        capture_output=True,
        timeout=60,
        check=False,
    )
    talk = ran.stderr.decode()
    assert ran.returncode == 0, talk
    return json.loads(ran.stdout), talk


@pytest.mark.parametrize("form", CURL_FORMS)
@pytest.mark.parametrize("end", ["/", ""])
@pytest.mark.parametrize("action", CALLS)
def test_curl(server: Server, action: str, end: str, form: str) -> None:
    body, keys = CALLS[action]
    url = f"{server.url}/api/v2/esm2-650m/{action}{end}"
    answer, talk = curl(*CURL_FORMS[form], url, body=body.encode())
    [result] = answer["results"]
    assert list(result) == keys
    answered = [line for line in talk.splitlines() if line.startswith("< HTTP/")]
    assert [line for line in answered if "100 Continue" not in line] == ["< HTTP/1.1 200 OK"]


def test_a_client_that_waits_is_told_to_go_on(server: Server) -> None:
    url = f"{server.url}/api/v2/esm2-650m/encode/"
    _, talk = curl(*WAITING, *HEADERS, url, body=ENCODE_BODY.encode())
    assert "< HTTP/1.1 100 Continue" in talk


def test_a_gzip_body(server: Server) -> None:
    url = f"{server.url}/api/v2/esm2-650m/encode/"
    zipped = gzip.compress(ENCODE_BODY.encode())
    answer, _ = curl(*HEADERS, "--header", "Content-Encoding: gzip", url, body=zipped)
    assert list(answer["results"][0]) == ENCODE_KEYS


def test_curl_with_the_body_as_an_argument(server: Server) -> None:
    url = f"{server.url}/api/v2/esm2-3B/predict/"
    command = ["curl", "--silent", "--location", url, *HEADERS, "--data", PREDICT_BODY]
    ran = subprocess.run(command, capture_output=True, timeout=60, check=True)
    assert list(json.loads(ran.stdout)["results"][0]) == PREDICT_KEYS


@pytest.mark.parametrize("action", CALLS)
def test_python_requests(server: Server, action: str) -> None:
    body, keys = CALLS[action]
    url = f"{server.url}/api/v2/esm2-650m/{action}/"
    response = requests.request("POST", url, headers=TOKEN_HEADER, data=body, timeout=30)
    assert response.status_code == 200
    assert list(json.loads(response.text)["results"][0]) == keys


@pytest.mark.parametrize("program", ["curl", "requests"])
def test_generate(server: Server, program: str) -> None:
    url = f"{server.url}/api/v2/progen2-oas/generate/"
    if program == "curl":
        answer, _ = curl(*CURL_FORMS["as documented"], url, body=GENERATE_BODY.encode())
    else:
        answer = requests.post(url, headers=TOKEN_HEADER, data=GENERATE_BODY, timeout=30).json()
    [samples] = answer["results"]
    assert len(samples) == 2
    for sample in samples:
        assert list(sample) == ["sequence", "ll_sum", "ll_mean"]
        assert sample["sequence"].startswith("EVQ")
        assert len(sample["sequence"]) <= 104


def test_a_connection_is_kept_for_the_next_call(server: Server) -> None:
    connection = HTTPConnection("127.0.0.1", server.rest_port, timeout=30)
    connection.connect()
    first = connection.sock
    for _ in range(3):
        connection.request("POST", "/api/v2/esm2-650m/predict", PREDICT_BODY)
        with connection.getresponse() as answer:
            assert answer.status == 200
            answer.read()
        assert connection.sock is first
    connection.close()


def test_an_older_curl_sends_headers_and_body_apart(server: Server) -> None:
    body = PREDICT_BODY.encode()
    head = (
        "POST /api/v2/esm2-650m/predict/ HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.rest_port), timeout=30) as connection:
        connection.sendall(head.encode())
        assert connection.recv(1024).startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
        connection.sendall(body)
        with connection.makefile("rb") as answer:
            assert answer.readline() == b"HTTP/1.1 200 OK\r\n"
            assert b'"sequence_tokens"' in answer.read()
