"""Generation of the demo server over our own REST and the BioLM API, with a real HTTP client."""

import json
import socket
from collections.abc import Iterator

import httpx
import pytest
from google.protobuf import json_format

import primase
from primase.evo2.v1 import evo2_service_pb2 as pb
from tests.conditions import until
from tests.e2e.conftest import DNA_MODEL
from tests.e2e.server import Server
from tests.gateway.events import Event, read_events

MODEL = f"/primase/v1/models/{DNA_MODEL}"
DNA = "GATTACAGATTACAACGT"
SAMPLING = {"topK": 4, "seed": "11"}


def parsed(events: Iterator[Event]) -> list[pb.StreamGenerateResponse]:
    found = []
    for event in events:
        message = json_format.Parse(event.data, pb.StreamGenerateResponse())
        assert event.name == message.WhichOneof("event")
        found.append(message)
    return found


def test_events_are_those_of_the_unary_call(rest: httpx.Client) -> None:
    body = {
        "items": [{"id": "a", "prompt": DNA}, {"prompt": DNA[:5]}],
        "options": {"numTokens": 10, "numSamples": 2, "sampling": SAMPLING, "alphabet": "ACGT"},
    }
    unary = json_format.ParseDict(
        rest.post(f"{MODEL}:generate", json=body).json(), pb.GenerateResponse()
    )
    with rest.stream("POST", f"{MODEL}:streamGenerate", json=body) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        found = parsed(read_events(answer.iter_lines()))
    assert len(unary.samples) == 4
    for sample in unary.samples:
        pair = (sample.item_index, sample.sample_index)
        own = [m for m in found if (m.item_index, m.sample_index) == pair]
        assert [message.sequence_number for message in own] == list(range(len(own)))
        assert own[0].started.seed == 11
        assert own[-1].HasField("finished")
        text = "".join(message.tokens.text for message in own)
        assert text == sample.tokens.text
        assert set(text) <= set("ACGT")
        assert len(text) == 10


def test_a_broken_stream_goes_on(rest: httpx.Client) -> None:
    options = {"numTokens": 12, "sampling": SAMPLING, "alphabet": "ACGT"}

    def follow(**body: object) -> list[pb.StreamGenerateResponse]:
        with rest.stream(
            "POST", f"{MODEL}:streamGenerate", json={"options": options} | body
        ) as answer:
            found = parsed(read_events(answer.iter_lines()))
        return [message for message in found if message.HasField("tokens")]

    whole = follow(items=[{"prompt": DNA}])
    text = "".join(message.tokens.text for message in whole)
    before = whole[: len(whole) // 2]
    received = "".join(message.tokens.text for message in before)
    token = before[-1].tokens.resume_token
    after = follow(items=[{"prompt": DNA + received}], resumeToken=token)
    assert received + "".join(message.tokens.text for message in after) == text


def test_what_is_wrong_is_told_as_json(rest: httpx.Client) -> None:
    body = {"items": [{"prompt": DNA}], "options": {"numTokens": 0}}
    answer = rest.post(
        f"{MODEL}:streamGenerate", json=body, headers={"accept": "text/event-stream"}
    )
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/json")
    (violation,) = answer.json()["details"][1]["fieldViolations"]
    assert violation["field"] == "options.num_tokens"


def test_a_client_that_leaves_ends_the_work(
    server: Server, client: primase.Client, rest: httpx.Client
) -> None:
    body = json.dumps({"items": [{"prompt": DNA}], "options": {"numTokens": 100_000}}).encode()
    name = "generation-left-alone"
    head = (
        f"POST {MODEL}:streamGenerate HTTP/1.1\r\nHost: x\r\nX-Request-Id: {name}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.rest_port), 60) as connection:
        connection.sendall(head.encode() + body)
        received = b""
        while b"event: tokens" not in received:
            received += connection.recv(4096)
        assert client.model(DNA_MODEL).num_queued_tokens > 0
    ended = {"event": "call", "request_id": name, "outcome": "CANCELLED"}
    server.log.wait_for(lambda line: ended.items() <= line.items(), 60)
    until(lambda: client.model(DNA_MODEL).num_queued_tokens == 0, timeout_s=20)
    with rest.stream("POST", f"{MODEL}:streamGenerate", json={"items": [{"prompt": DNA}]}) as again:
        assert next(read_events(again.iter_lines())).name == "started"


@pytest.mark.parametrize("version", ["v1", "v2", "v3"])
def test_biolm(rest: httpx.Client, version: str) -> None:
    params = {"max_new_tokens": 7, "seed": 4}
    body = {"items": [{"prompt": DNA}], "params": params}
    first, again = (
        rest.post(f"/api/{version}/{DNA_MODEL}/generate/", json=body).json() for _ in range(2)
    )
    assert first == again
    assert len(first["results"][0]["generated"]) == 7
