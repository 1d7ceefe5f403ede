"""Our own REST: canonical proto JSON in and out, google.rpc.Status for errors."""

from typing import Any

import httpx
import pytest
from google.protobuf import json_format
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status

from primase.esm2.v1 import esm2_service_pb2 as pb
from primase.models.v1 import model_service_pb2 as models_pb
from primase.tensors import to_array
from tests.gateway import scripted
from tests.gateway.scripted import Script, status, values

ENCODE = "/primase/v1/models/esm2-8m:encode"
PREDICT = "/primase/v1/models/esm2-8m:predict"


def as_status(answer: httpx.Response) -> Status:
    assert answer.headers["content-type"] == "application/json"
    # The details' types must be known to whoever reads them.
    assert error_details_pb2.DESCRIPTOR is not None
    return json_format.Parse(answer.text, Status())


def test_list_models(client: httpx.Client, script: Script) -> None:
    script.models["other"] = scripted.model("other", models_pb.WEIGHTS_SOURCE_DEMO)
    answer = client.get("/primase/v1/models?pageSize=5&page_token=t&family=MODEL_FAMILY_ESM2")

    listed = json_format.Parse(answer.text, models_pb.ListModelsResponse())
    assert [model.name for model in listed.models] == ["esm2-8m", "other"]
    assert script.requests == [
        models_pb.ListModelsRequest(page_size=5, page_token="t", family=models_pb.MODEL_FAMILY_ESM2)
    ]
    assert answer.headers["x-primase-weights"] == "demo"


@pytest.mark.parametrize(
    "query", ["pageSize=x", "unknown=1", "family=NONE", "pageSize=99999999999"]
)
def test_queries_that_list_models_refuses(client: httpx.Client, query: str) -> None:
    answer = client.get(f"/primase/v1/models?{query}")
    assert answer.status_code == 400
    assert as_status(answer).code == 3


@pytest.mark.parametrize("end", ["", "/"])
def test_get_model(client: httpx.Client, script: Script, end: str) -> None:
    answer = client.get(f"/primase/v1/models/esm2-8m{end}")
    described = json_format.Parse(answer.text, models_pb.GetModelResponse())
    assert described.model == script.models["esm2-8m"]


def test_encode(client: httpx.Client, script: Script) -> None:
    body = {
        "items": [{"sequence": "MKT", "id": "a"}],
        "options": {"include": ["INCLUDE_MEAN"], "reprLayers": [-1]},
    }
    answer = client.post(ENCODE, json=body)

    assert script.requests == [
        pb.EncodeRequest(
            model="esm2-8m",
            items=[pb.EncodeItem(id="a", sequence="MKT")],
            options=pb.EncodeOptions(include=[pb.INCLUDE_MEAN], repr_layers=[-1]),
        )
    ]
    encoded = json_format.Parse(answer.text, pb.EncodeResponse())
    mean = to_array(encoded.encodings[0].layers[0].mean)
    assert (mean == values("MKT", pb.INCLUDE_MEAN, 3, (4,))).all()


def test_predict(client: httpx.Client, script: Script) -> None:
    body = {"model": "esm2-8m", "items": [{"sequence": "M<mask>"}], "include_logits": True}
    answer = client.post(f"{PREDICT}/", json=body)
    predicted = json_format.Parse(answer.text, pb.PredictResponse())
    assert list(predicted.predictions[0].sequence_tokens) == ["M", "<mask>"]
    assert script.requests[0].include_logits


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ([], "body"),
        ({"items": [{"sequence": 3}]}, "body"),
        ({"items": [{"sequences": "M"}]}, "body"),
        ({"items": [{"sequence": "M"}], "options": {"include": ["NOTHING"]}}, "body"),
        ({"items": [{"sequence": "M"}], "options": {"reprLayers": [1.5]}}, "body"),
        ({"items": [{"sequence": "M"}], "options": {"reprLayers": [2**40]}}, "body"),
        ({"items": "M"}, "body"),
        ({"items": {}}, "body"),
        ({"items": [None]}, "body"),
        ({"items": [7]}, "body"),
        ({"options": [1]}, "body"),
        ({"model": 5}, "body"),
        ({"model": "other", "items": [{"sequence": "M"}]}, "model"),
    ],
)
def test_bodies_that_are_not_the_message(client: httpx.Client, body: Any, field: str) -> None:
    answer = client.post(ENCODE, json=body)
    assert answer.status_code == 400
    bad_request = error_details_pb2.BadRequest()
    assert as_status(answer).details[1].Unpack(bad_request)
    assert [violation.field for violation in bad_request.field_violations] == [field]


def test_too_many_items_are_not_even_read(client: httpx.Client, script: Script) -> None:
    answer = client.post(ENCODE, json={"items": [{}] * 1025})
    assert answer.status_code == 400
    info = error_details_pb2.ErrorInfo()
    said = as_status(answer)
    assert said.details[0].Unpack(info)
    assert info.reason == "TOO_MANY_ITEMS"
    assert said.message == "takes at most 1024 entries, got 1025"
    answer = client.post(ENCODE, json={"options": {"reprLayers": [0] * 129}})
    assert as_status(answer).details[1].value.find(b"options.repr_layers") > 0
    assert script.requests == []


def test_the_service_speaks_for_itself(client: httpx.Client, script: Script) -> None:
    said = status("QUEUE_FULL", "come back", retry_after_ms=4000)
    script.refuse = said
    answer = client.post(ENCODE, json={"items": [{"sequence": "M"}]})
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "4"
    assert as_status(answer) == said


def test_details_of_unknown_types_are_left_out(client: httpx.Client, script: Script) -> None:
    said = status("INTERNAL", "broken")
    said.details.add(type_url="type.googleapis.com/nobody.knows.This", value=b"\x01")
    script.refuse = said
    answer = client.post(ENCODE, json={"items": [{"sequence": "M"}]})
    assert answer.status_code == 500
    assert len(as_status(answer).details) == 1


@pytest.mark.parametrize(
    ("method", "path", "http_status"),
    [
        ("GET", "/primase/v1/models/nobody", 404),
        ("POST", "/primase/v1/models/nobody:encode", 404),
        ("POST", "/primase/v1/models/esm2-8m:fly", 404),
        ("GET", "/primase/v1/models/esm2-8m/layers", 404),
        ("GET", "/primase/v1/", 404),
        ("POST", "/primase/v1/models", 405),
        ("POST", "/primase/v1/models/esm2-8m", 405),
        ("GET", "/primase/v1/models/esm2-8m:encode", 404),
    ],
)
def test_places_and_methods(client: httpx.Client, method: str, path: str, http_status: int) -> None:
    answer = client.request(method, path)
    assert answer.status_code == http_status
    assert as_status(answer).message
