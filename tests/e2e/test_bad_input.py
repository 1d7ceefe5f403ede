"""Bad input over the live server: each gets a clear answer that names the field, and none a 500."""

import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import grpc
import httpx
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

import primase
from primase.esm2.v1 import esm2_service_pb2 as pb
from primase.esm2.v1.esm2_service_pb2_grpc import Esm2ServiceStub
from primase.models.v1 import model_service_pb2 as models_pb
from primase.models.v1.model_service_pb2_grpc import ModelServiceStub
from tests.e2e.proteins import DOCUMENTED
from tests.e2e.server import Server
from tests.health import SERVING, health

ENCODE = "/api/v2/esm2-650m/encode/"
PREDICT = "/api/v2/esm2-650m/predict/"


@pytest.fixture(autouse=True, scope="module")
def well_afterwards(server: Server) -> Iterator[None]:
    yield
    with primase.connect(server.target, timeout_s=60) as client:
        [result] = client.esm2("esm2-650m").encode(DOCUMENTED)
        assert result.value.num_residues == len(DOCUMENTED)
    with grpc.insecure_channel(server.target) as channel:
        assert health(channel) == SERVING
    answer = httpx.post(f"{server.url}{ENCODE}", json=items(DOCUMENTED), timeout=60)
    assert answer.status_code == 200
    assert not [text for text in server.log.text if "Traceback" in text]


def items(*sequences: object, **more: object) -> dict[str, object]:
    return {"items": [{"sequence": sequence} for sequence in sequences], **more}


# REST: path, body, status, and what the answer names: field -> a part of its message.
BAD_JSON: Mapping[str, tuple[str, object, int, Mapping[str, str]]] = {
    "a bad residue": (ENCODE, items("MKT*V"), 400, {"items__0__sequence": "'*' at position 3"}),
    "lower case": (ENCODE, items("MKT", "mkt"), 400, {"items__1__sequence": "'m' at position 0"}),
    "a space": (ENCODE, items("MK T"), 400, {"items__0__sequence": "' ' at position 2"}),
    "a line break": (ENCODE, items("MKT\n"), 400, {"items__0__sequence": "at position 3"}),
    "beyond ASCII": (ENCODE, items("MKÄ"), 400, {"items__0__sequence": "at position 2"}),
    "beyond Unicode's first plane": (
        ENCODE,
        items("M🧬"),
        400,
        {"items__0__sequence": "position 1"},
    ),
    "a mask to encode": (
        ENCODE,
        items("M<mask>"),
        400,
        {"items__0__sequence": "'<' at position 1"},
    ),
    "no mask to predict": (PREDICT, items("MKT"), 400, {"items__0__sequence": "<mask>"}),
    "an empty sequence": (ENCODE, items(""), 400, {"items__0__sequence": ""}),
    "no residue": (ENCODE, items("---"), 400, {"items__0__sequence": "residue"}),
    "too long": (ENCODE, items("M" * 2049), 400, {"items__0__sequence": "2048"}),
    "two bad of three": (
        ENCODE,
        items("M1", "MKT", "M2"),
        400,
        {"items__0__sequence": "position 1", "items__2__sequence": "position 1"},
    ),
    "a number for a sequence": (ENCODE, items(7), 400, {"items__0__sequence": "string"}),
    "null for a sequence": (ENCODE, items(None), 400, {"items__0__sequence": "string"}),
    "no sequence": (ENCODE, {"items": [{}]}, 400, {"items__0__sequence": "required"}),
    "no items": (ENCODE, {}, 400, {"items": "required"}),
    "an empty list": (ENCODE, {"items": []}, 400, {"items": "at least 1"}),
    "nine items": (ENCODE, items(*["MKT"] * 9), 400, {"items": "at most 8"}),
    "items is an object": (ENCODE, {"items": {}}, 400, {"items": "list"}),
    "the body is a list": (ENCODE, [], 400, {"body": "object"}),
    "the body is a number": (ENCODE, 5, 400, {"body": "object"}),
    "an unknown output": (
        ENCODE,
        items("MKT", params={"include": ["mean", "everything"]}),
        400,
        {"params__include__1": "mean"},
    ),
    "a layer there is not": (
        ENCODE,
        items("MKT", params={"repr_layers": [34]}),
        400,
        {"params__repr_layers": "between -7 and 6"},
    ),
    "a layer that is text": (
        ENCODE,
        items("MKT", params={"repr_layers": ["-1"]}),
        400,
        {"params__repr_layers__0": "integer"},
    ),
    "half a layer": (
        ENCODE,
        items("MKT", params={"repr_layers": [1.5]}),
        400,
        {"params__repr_layers__0": "integer"},
    ),
    "a huge layer": (
        ENCODE,
        items("MKT", params={"repr_layers": [2**70]}),
        400,
        {"params__repr_layers__0": ""},
    ),
    "params is a list": (ENCODE, items("MKT", params=[]), 400, {"params": "object"}),
}


@pytest.mark.parametrize("case", BAD_JSON)
def test_bad_json_names_every_field(rest: httpx.Client, case: str) -> None:
    path, body, http_status, named = BAD_JSON[case]
    answer = rest.post(path, json=body)
    assert answer.status_code == http_status, answer.text
    assert answer.headers["content-type"] == "application/json"
    errors = answer.json()["error"]
    assert list(errors) == list(named)
    for field, part in named.items():
        assert part in " ".join(errors[field])


BAD_BODIES: Mapping[str, tuple[bytes, Mapping[str, str], int]] = {
    "nothing": (b"", {}, 400),
    "half an object": (b'{"items": [', {}, 400),
    "not UTF-8": (b'{"items": [{"sequence": "\xff"}]}', {}, 400),
    "a lone surrogate": (rb'{"items": [{"sequence": "M\ud800"}]}', {}, 400),
    "NaN": (b'{"items": [{"sequence": NaN}]}', {}, 400),
    "deep": (b"[" * 100_000, {}, 400),
    "a form": (b"sequence=MKT", {"Content-Type": "application/x-www-form-urlencoded"}, 400),
    "not gzip": (b"MKT", {"Content-Encoding": "gzip"}, 400),
    "half of gzip": (gzip.compress(b"{}" * 99)[:20], {"Content-Encoding": "gzip"}, 400),
    "an unknown encoding": (b"{}", {"Content-Encoding": "br"}, 400),
    "too large": (b" " * (17 << 20), {}, 413),
    "a bomb": (gzip.compress(b" " * (64 << 20)), {"Content-Encoding": "gzip"}, 413),
}


@pytest.mark.parametrize("case", BAD_BODIES)
def test_a_body_that_is_no_json_is_refused(rest: httpx.Client, case: str) -> None:
    body, headers, http_status = BAD_BODIES[case]
    answer = rest.post(ENCODE, content=body, headers=dict(headers))
    assert answer.status_code == http_status
    assert answer.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "http_status"),
    [
        ("POST", "/api/v2/esm9-1b/encode", 404),
        ("POST", "/api/v2/esm2-650m/fold", 404),
        ("POST", "/api/v2/" + "x" * 5000 + "/encode", 404),
        ("POST", "/api/v2/%00/encode", 404),
        ("POST", "/api/v2/%ff%fe/encode", 404),
        ("GET", ENCODE, 405),
        ("DELETE", ENCODE, 405),
        ("GET", "/api/v2/", 404),
        ("GET", "/primase/v1/models/esm9", 404),
        ("POST", "/primase/v1/models/esm2-8m:fold", 404),
        ("GET", "/primase/v1/models?page_size=-1", 400),
        ("GET", "/primase/v1/models?no_such_field=1", 400),
        ("GET", "/..%2f..%2fetc/passwd", 404),
    ],
)
def test_a_place_that_is_not_there_is_said_so(
    rest: httpx.Client, method: str, path: str, http_status: int
) -> None:
    answer = rest.request(method, path, content=json.dumps(items("MKT")))
    assert answer.status_code == http_status
    assert answer.headers["content-type"] == "application/json"


NATIVE: Mapping[str, tuple[object, str]] = {
    "a bad residue": ({"items": [{"sequence": "MKT"}, {"sequence": "MK*"}]}, "items[1].sequence"),
    "an unknown field": ({"items": [{"seq": "MKT"}]}, "items[0]"),
    "an unknown output": (
        {"items": [], "options": {"include": ["INCLUDE_ALL"]}},
        "options.include",
    ),
    "a layer there is not": (
        {"items": [{"sequence": "MKT"}], "options": {"reprLayers": [99]}},
        "options.repr_layers",
    ),
    "no items": ({}, "items"),
}


@pytest.mark.parametrize("case", NATIVE)
def test_the_native_routes_name_the_field_too(rest: httpx.Client, case: str) -> None:
    body, field = NATIVE[case]
    answer = rest.post("/primase/v1/models/esm2-650m:encode", json=body)
    assert answer.status_code == 400
    status = answer.json()
    assert status["code"] == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert field in answer.text


# gRPC: a call, and the field that its refusal names with its reason.
Ask = Callable[[grpc.Channel], object]


def encode(*sequences: str, **options: Any) -> Ask:
    request = pb.EncodeRequest(
        model="esm2-650m",
        items=[pb.EncodeItem(sequence=sequence) for sequence in sequences],
        options=pb.EncodeOptions(**options),
    )
    return lambda channel: Esm2ServiceStub(channel).Encode(request, timeout=60)


def predict(sequence: str, num_candidates: int = 5) -> Ask:
    request = pb.PredictRequest(
        model="esm2-650m",
        items=[pb.PredictItem(sequence=sequence)],
        num_candidates=num_candidates,
    )
    return lambda channel: Esm2ServiceStub(channel).Predict(request, timeout=60)


def estimate(**fields: Any) -> Ask:
    request = models_pb.EstimateRequest(model="esm2-650m", **fields)
    return lambda channel: ModelServiceStub(channel).Estimate(request, timeout=60)


BAD_CALLS: Mapping[str, tuple[Ask, str, str, str]] = {
    "a bad residue": (
        encode("MKT", "MKTJ"),
        "items[1].sequence",
        "INVALID_SEQUENCE",
        "'J' at position 3",
    ),
    "lower case": (encode("mkt"), "items[0].sequence", "INVALID_SEQUENCE", "'m' at position 0"),
    "a null byte": (encode("MK\0"), "items[0].sequence", "INVALID_SEQUENCE", "at position 2"),
    "an empty sequence": (encode(""), "items[0].sequence", "INVALID_SEQUENCE", "empty"),
    "a mask to encode": (encode("M<mask>"), "items[0].sequence", "INVALID_SEQUENCE", "position 1"),
    "too long": (encode("M" * 2049), "items[0].sequence", "SEQUENCE_TOO_LONG", "2048"),
    "far too long": (encode("M" * 70_000), "items[0].sequence", "SEQUENCE_TOO_LONG", "70000"),
    "no items": (encode(), "items", "INVALID_PARAMETER", "at least 1"),
    "too many items": (encode(*["M"] * 1025), "items", "TOO_MANY_ITEMS", "1024"),
    "a layer there is not": (
        encode("MKT", repr_layers=[7]),
        "options.repr_layers",
        "UNKNOWN_LAYER",
        "-7 to 6",
    ),
    "a layer far away": (
        encode("MKT", repr_layers=[0, 2**31 - 1]),
        "options.repr_layers[1]",
        "INVALID_PARAMETER",
        "at most 1000",
    ),
    "an output of a newer contract": (
        encode("MKT", include=[77]),
        "options.include[0]",
        "INVALID_PARAMETER",
        "77",
    ),
    "maps of no head": (
        encode("MKT", include=[pb.INCLUDE_ATTENTION_MAPS]),
        "options.attention_heads",
        "INVALID_PARAMETER",
        "ATTENTION_MAPS",
    ),
    "no mask to predict": (
        predict("MKT"),
        "items[0].sequence",
        "INVALID_SEQUENCE",
        "<mask>",
    ),
    "half a mask": (predict("M<mas>T"), "items[0].sequence", "INVALID_SEQUENCE", "position 1"),
    "too many candidates": (
        predict("M<mask>", num_candidates=21),
        "num_candidates",
        "INVALID_PARAMETER",
        "at most 20",
    ),
    "an estimate of nothing": (estimate(), "sequence_lengths", "INVALID_PARAMETER", "at least 1"),
    "a length below one": (
        estimate(sequence_lengths=[5, 0]),
        "sequence_lengths[1]",
        "INVALID_PARAMETER",
        "at least 1",
    ),
}


@pytest.mark.parametrize("case", BAD_CALLS)
def test_a_bad_call_names_its_field(server: Server, case: str) -> None:
    ask, field, reason, part = BAD_CALLS[case]
    with (
        grpc.insecure_channel(server.target) as channel,
        pytest.raises(grpc.RpcError) as refused,
    ):
        ask(channel)
    status = rpc_status.from_call(cast(grpc.Call, refused.value))
    assert status is not None
    assert status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    info, request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(request)
    assert (info.domain, info.reason) == ("primase", reason)
    [violation] = request.field_violations
    assert (violation.field, violation.reason) == (field, reason)
    assert part in violation.description


def test_a_call_that_is_not_in_the_contract_is_unimplemented(server: Server) -> None:
    with grpc.insecure_channel(server.target) as channel:
        fold: Any = channel.unary_unary("/primase.esm2.v1.Esm2Service/Fold")
        with pytest.raises(grpc.RpcError) as refused:
            fold(b"", timeout=30)
    assert cast(grpc.Call, refused.value).code() is grpc.StatusCode.UNIMPLEMENTED
