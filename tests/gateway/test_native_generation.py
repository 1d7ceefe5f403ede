"""Generation over our own REST: one message, or events as they come."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from google.protobuf import json_format

from primase.evo2.v1 import evo2_service_pb2 as pb
from primase.tensors import to_array
from primase.type.v1 import generation_pb2
from tests.gateway import scripted, scripted_generation
from tests.gateway.events import Event, events, read_events
from tests.gateway.live import Live
from tests.gateway.scripted import Script, status

MODEL = "/primase/v1/models/evo2-7b"
ITEMS = [{"id": "a", "prompt": "ACGT"}, {"prompt": "GG"}]


def messages(found: list[Event]) -> list[pb.StreamGenerateResponse]:
    """Each named as what is set in it."""
    parsed = [json_format.Parse(event.data, pb.StreamGenerateResponse()) for event in found]
    assert [event.name for event in found] == [message.WhichOneof("event") for message in parsed]
    return parsed


def follow(client: httpx.Client, body: object, **headers: str) -> list[Event]:
    return events(client.post(f"{MODEL}:streamGenerate", json=body, headers=headers))


@pytest.mark.parametrize("end", ["", "/"])
def test_generate(evo2: httpx.Client, evo2_script: Script, end: str) -> None:
    options = {
        "numTokens": 12,
        "numSamples": 2,
        "sampling": {"temperature": 0.5, "topK": 4, "topP": 0.9, "seed": "18446744073709551615"},
        "stopSequences": ["TAA"],
        "alphabet": "ACGT",
        "report": {"logits": True},
    }
    answer = evo2.post(f"{MODEL}:generate{end}", json={"items": ITEMS, "options": options})
    done = json_format.Parse(answer.text, pb.GenerateResponse())
    pairs = [(sample.item_index, sample.sample_index, sample.id) for sample in done.samples]
    assert pairs == [(0, 0, "a"), (0, 1, "a"), (1, 0, ""), (1, 1, "")]
    first = done.samples[0]
    assert first.started.seed == 2**64 - 1
    assert len(first.tokens.text) == 12
    assert (to_array(first.tokens.logits) == scripted_generation.logits("ACGT", 12)).all()
    assert evo2_script.requests[-1] == pb.GenerateRequest(
        model="evo2-7b",
        items=[pb.GenerateItem(id="a", prompt="ACGT"), pb.GenerateItem(prompt="GG")],
        options=pb.GenerateOptions(
            num_tokens=12,
            num_samples=2,
            sampling=generation_pb2.Sampling(temperature=0.5, top_k=4, top_p=0.9, seed=2**64 - 1),
            stop_sequences=["TAA"],
            alphabet="ACGT",
            report=generation_pb2.TokenReport(logits=True),
        ),
    )


@pytest.mark.parametrize("accept", ["text/event-stream", "*/*", "application/json"])
def test_events(evo2: httpx.Client, evo2_script: Script, accept: str) -> None:
    body = {
        "items": ITEMS,
        "options": {
            "numTokens": 30,
            "sampling": {"topK": 4, "seed": 5},
            "report": {"logits": True},
        },
    }
    found = messages(follow(evo2, body, accept=accept))
    names = [message.WhichOneof("event") for message in found if message.item_index == 0]
    assert names == ["started", "heartbeat", *["tokens"] * 5, "finished"]
    for index, item in enumerate(ITEMS):
        own = [message for message in found if message.item_index == index]
        assert [message.sequence_number for message in own] == list(range(8))
        assert own[0].started.seed == 5
        tokens = [message.tokens for message in own if message.WhichOneof("event") == "tokens"]
        assert len("".join(piece.text for piece in tokens)) == 30
        assert len(tokens[0].text) == 1
        assert tokens[0].resume_token == "after-1"
        logits = np.concatenate([to_array(piece.logits) for piece in tokens])
        assert (logits == scripted_generation.logits(item["prompt"], 30)).all()
        assert own[-1].finished.reason == generation_pb2.FINISH_REASON_LENGTH


def test_headers_of_events(evo2: httpx.Client, evo2_script: Script) -> None:
    evo2_script.precision = "unverified"
    answer = evo2.post(
        f"{MODEL}:streamGenerate", json={"items": ITEMS}, headers={"x-request-id": "me"}
    )
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.headers["x-request-id"] == "me"
    assert answer.headers["x-primase-precision"] == "unverified"
    # Each event is an event line, a data line and an empty one, whatever the text holds.
    lines = answer.text.split("\n")
    assert lines.pop() == ""
    assert all(line.startswith("event: ") for line in lines[::3])
    assert all(line.startswith("data: {") for line in lines[1::3])
    assert not any(lines[2::3])


def test_a_bad_item_fails_alone(evo2: httpx.Client, evo2_script: Script) -> None:
    evo2_script.refuse_items[0] = status("INVALID_SEQUENCE", "bad", {"items[0].prompt": "bad"})
    bad, *good = messages(follow(evo2, {"items": ITEMS}))
    assert (bad.item_index, bad.failed.message) == (0, "bad")
    assert good[-1].WhichOneof("event") == "finished"
    assert {message.item_index for message in good} == {1}


@pytest.mark.parametrize(
    ("reason", "http_status"), [("INVALID_PARAMETER", 400), ("QUEUE_FULL", 503)]
)
@pytest.mark.parametrize("verb", ["generate", "streamGenerate"])
def test_a_refusal_is_json(
    evo2: httpx.Client, evo2_script: Script, reason: str, http_status: int, verb: str
) -> None:
    evo2_script.refuse = status(reason, "no", {"options.alphabet": "no"}, retry_after_ms=1500)
    accept = {"accept": "text/event-stream"}
    answer = evo2.post(f"{MODEL}:{verb}", json={"items": ITEMS}, headers=accept)
    assert answer.status_code == http_status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["retry-after"] == "2"
    info, bad_request, _ = answer.json()["details"]
    assert info["reason"] == reason
    assert bad_request["fieldViolations"][0]["field"] == "options.alphabet"


@pytest.mark.parametrize(
    "body", [{"items": [{"sequence": "A"}]}, [], {"items": ITEMS, "options": {"numTokens": "x"}}]
)
def test_a_body_that_is_not_in_order(evo2: httpx.Client, body: object) -> None:
    answer = evo2.post(f"{MODEL}:streamGenerate", json=body)
    assert (answer.status_code, answer.json()["code"]) == (400, 3)


def test_a_call_that_fails_in_between_ends_with_an_error(
    evo2: httpx.Client, evo2_script: Script
) -> None:
    evo2_script.break_off_with = status("OUT_OF_MEMORY", "the device is full")
    *before, last = follow(evo2, {"items": ITEMS})
    assert [event.name for event in before] == ["started", "heartbeat", "tokens"]
    assert last.name == "error"
    told = json.loads(last.data)
    assert told["message"] == "the device is full"
    assert told["details"][0]["reason"] == "OUT_OF_MEMORY"


def test_events_come_as_they_happen_and_a_broken_client_ends_the_call(
    evo2_script: Script, live: Live
) -> None:
    evo2_script.stall = True
    with (
        httpx.Client(base_url=live.url, timeout=30) as client,
        client.stream("POST", f"{MODEL}:streamGenerate", json={"items": ITEMS}) as answer,
    ):
        arriving: Iterator[Event] = read_events(answer.iter_lines())
        names = [next(arriving).name for _ in range(3)]
        assert names == ["started", "heartbeat", "tokens"]
        assert evo2_script.hanging.wait(20)
        assert not evo2_script.cancelled.is_set()
    assert evo2_script.cancelled.wait(20)


def test_what_only_another_family_does(evo2: httpx.Client, evo2_script: Script) -> None:
    evo2_script.models["esm2-8m"] = scripted.model()
    answer = evo2.post("/primase/v1/models/esm2-8m:streamGenerate", json={"items": []})
    assert answer.status_code == 404
    said: dict[str, Any] = answer.json()
    assert said["message"] == "MODEL_FAMILY_ESM2 has no such call"
