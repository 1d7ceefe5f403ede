"""What a request that is not in order gets, in each generation of the API.

The table in `data/biolm_refusals.json` holds the bad requests: a body, the action it is sent to,
and what each dialect answers. Of the hub's lists it holds `type`, `loc` and `msg`.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from primase.models.v1 import model_service_pb2 as models_pb
from tests.gateway import scripted
from tests.gateway.scripted import Script, ScriptedServer, status

TABLE = json.loads((Path(__file__).parent / "data" / "biolm_refusals.json").read_text())
VERSIONS = ("v2", "v3", "v1")
NAMES = {"encode": ["encode"], "predict": ["predict"], "log_prob": ["log_prob", "score"]}
ROWS = [
    pytest.param(version, action, row, id=f"{version} {action} {row['case']}")
    for row in TABLE
    for version in VERSIONS
    if version in row
    for action in NAMES[row["action"]]
]
TYPED = {"content-type": "application/json"}
LISTED = ("type", "loc", "msg")
NOT_AN_OBJECT = "Input should be a valid dictionary or object to extract fields from"


def path_of(version: str, action: str = "encode") -> str:
    return f"/api/{version}/esm2-8m/{action}"


def in_short(document: dict[str, Any]) -> dict[str, Any]:
    """A refusal of the hub without what it repeats of the request."""
    if not isinstance(document.get("detail"), list):
        return document
    return {"detail": [{key: entry[key] for key in LISTED} for entry in document["detail"]]}


@pytest.mark.parametrize(("version", "action", "row"), ROWS)
def test_the_table(
    client: httpx.Client, script: Script, version: str, action: str, row: dict[str, Any]
) -> None:
    wanted = row["v2"] if row[version] == "as v2" else row[version]
    body = json.dumps(row["body"])
    answer = client.post(path_of(version, action), content=body, headers=TYPED)
    assert answer.status_code == wanted["status"], answer.text
    assert answer.headers["content-type"] == "application/json"
    if wanted["status"] == 200:
        assert list(answer.json()) == ["results"]
    else:
        assert in_short(answer.json()) == wanted["body"]
        assert script.requests == []


def test_the_hub_repeats_what_was_given(client: httpx.Client) -> None:
    items = [{"sequence": "m"}, {"sequence": "M" * 2049}]
    body = {"params": {"repr_layers": [1.5]}, "items": items}
    assert client.post(path_of("v1"), json=body).json() == {
        "detail": [
            {
                "type": "int_type",
                "loc": ["body", "params", "repr_layers", 0],
                "msg": "Input should be a valid integer",
                "input": 1.5,
            },
            {
                "type": "value_error",
                "loc": ["body", "items", 0, "sequence"],
                "msg": "Value error, Residues can only be represented with "
                "'ACDEFGHIKLMNPQRSTVWYBXZUO' characters",
                "input": "m",
                "ctx": {"error": {}},
            },
            {
                "type": "too_long",
                "loc": ["body", "items", 1, "sequence"],
                "msg": "Value should have at most 2048 items after validation, not 2049",
                "input": "M" * 2049,
                "ctx": {"field_type": "Value", "max_length": 2048, "actual_length": 2049},
            },
        ]
    }


@pytest.mark.parametrize(
    ("content_type", "text", "kind", "message"),
    [
        (None, '{"items":[]}', "model_attributes_type", NOT_AN_OBJECT),
        ("text/plain", '{"items":[]}', "model_attributes_type", NOT_AN_OBJECT),
        ("application/jsonp", '{"items":[]}', "model_attributes_type", NOT_AN_OBJECT),
        ("application/json", "", "missing", "Field required"),
    ],
)
def test_the_hub_wants_json_by_its_name(
    client: httpx.Client, content_type: str | None, text: str, kind: str, message: str
) -> None:
    headers = {"content-type": content_type} if content_type else {}
    answer = client.post(path_of("v1"), content=text.encode(), headers=headers)
    assert answer.status_code == 422
    (entry,) = answer.json()["detail"]
    assert (entry["type"], entry["loc"], entry["msg"]) == (kind, ["body"], message)


@pytest.mark.parametrize("version", ["v1", "v3"])
def test_too_many_mistakes_to_name(client: httpx.Client, version: str) -> None:
    body = {str(key): 0 for key in range(100_000)} | {"items": [{"sequence": "M"}]}
    answer = client.post(path_of(version), json=body)
    message = "100000 fields are wrong"
    if version == "v3":
        assert (answer.status_code, answer.json()) == (400, {"error": {"body": [message]}})
    else:
        assert answer.status_code == 422
        assert [entry["msg"] for entry in answer.json()["detail"]] == [message]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"{'items': []}",
        b'{"items":[{"sequence":"M"}],}',
        b'{"params":{"repr_layers":[NaN]},"items":[]}',
        b'{"params":{"repr_layers":[Infinity]},"items":[]}',
        b'{"params":{"repr_layers":[1e999]},"items":[]}',
        b'{"items":[{"sequence":"\\ud800"}]}',
        b'{"items":[{"sequence":"\xff"}]}',
        b'\xef\xbb\xbf{"items":[]}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        "items".encode("utf-16"),
    ],
)
def test_what_is_not_json(client: httpx.Client, text: bytes) -> None:
    for version in ("v2", "v3"):
        answer = client.post(path_of(version), content=text)
        assert answer.status_code == 400
        ((field, (message,)),) = answer.json()["error"].items()
        assert field == "body"
        assert message.startswith("JSON decode error: ")
        assert len(message) < 200

    answer = client.post(path_of("v1"), content=text, headers=TYPED)
    assert answer.status_code == 422
    (entry,) = answer.json()["detail"]
    assert entry["loc"][0] == "body"
    if text:
        assert list(entry) == ["type", "loc", "msg", "input", "ctx"]
        assert (entry["type"], entry["msg"]) == ("json_invalid", "JSON decode error")
        assert entry["input"] == {}
        assert list(entry["ctx"]) == ["error"]
    else:
        assert (entry["type"], entry["msg"]) == ("missing", "Field required")


def test_of_two_equal_keys_the_last_counts(client: httpx.Client) -> None:
    text = b'{"items":[],"items":[{"sequence":"m","sequence":"M"}]}'
    assert client.post(path_of("v2"), content=text).status_code == 200


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("esm2-9m/encode/", "Model 'esm2-9m' not found"),
        ("progen2-huge/generate/", "Model 'progen2-huge' not found"),
        ("esm2%208m/encode/", "Model 'esm2 8m' not found"),
        ("x" * 129 + "/encode/", f"Model '{'x' * 128}' not found"),
        ("esm2-8m/encoder/", "Model 'esm2-8m' has no action 'encoder'"),
        ("esm2-8m/ENCODE/", "Model 'esm2-8m' has no action 'ENCODE'"),
        ("esm2-8m/generate/", "Model 'esm2-8m' has no action 'generate'"),
        ("esm2-8m/", "Not Found"),
        ("esm2-8m/encode/more", "Not Found"),
        ("esm2-8m/encode//", "Not Found"),
    ],
)
@pytest.mark.parametrize("version", VERSIONS)
def test_unknown_places(client: httpx.Client, version: str, place: str, message: str) -> None:
    answer = client.post(f"/api/{version}/{place}", json={"items": [{"sequence": "M"}]})
    assert answer.status_code == 404
    hosted = {"error": message, "detail": message}
    assert answer.json() == ({"detail": "Not Found"} if version == "v1" else hosted)
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("action", ["score", "log_prob"])
def test_version_2_has_no_scores(client: httpx.Client, action: str) -> None:
    answer = client.post(path_of("v2", action), json={"items": [{"sequence": "M"}]})
    assert answer.status_code == 404


def test_a_model_of_another_family_has_no_such_action(client: httpx.Client, script: Script) -> None:
    script.models["progen2-oas"] = models_pb.Model(
        name="progen2-oas",
        family=models_pb.MODEL_FAMILY_PROGEN2,
        state=models_pb.MODEL_STATE_READY,
    )
    answer = client.post("/api/v2/progen2-oas/encode/", json={"items": [{"sequence": "M"}]})
    assert answer.status_code == 404


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("end", ["", "/"])
@pytest.mark.parametrize("version", VERSIONS)
def test_other_methods(client: httpx.Client, version: str, method: str, end: str) -> None:
    answer = client.request(method, path_of(version) + end)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"
    message = "Method Not Allowed"
    hosted = {"error": message, "detail": message}
    assert answer.json() == ({"detail": message} if version == "v1" else hosted)


@dataclass(frozen=True)
class Fault:
    """Something that the service says, and what becomes of it: `hub` where v1 differs."""

    reason: str
    http_status: int
    body: dict[str, Any]
    hub: dict[str, Any] | None = None
    fields: dict[str, str] | None = None
    retry_after_ms: int | None = None
    retry_after: str | None = None


NO = {"error": "no", "detail": "no"}
BACKEND_ERROR = {
    "detail": "An unexpected backend error occurred.",
    "errors": [],
    "status_code": 500,
    "code": "system.model_execution",
}
INVALID = {"detail": "no", "errors": [], "status_code": 400, "code": "user.validation"}
FAULTS = [
    Fault("QUEUE_FULL", 503, NO, retry_after_ms=2500, retry_after="3"),
    Fault("SHUTTING_DOWN", 503, NO, retry_after="1"),
    Fault("MODEL_NOT_READY", 503, NO, retry_after="1"),
    Fault("INTERNAL", 500, NO, BACKEND_ERROR),
    Fault("OUT_OF_MEMORY", 500, NO, BACKEND_ERROR),
    Fault("DEADLINE_EXPIRED", 504, NO, retry_after="1"),
    Fault("REQUEST_TOO_LARGE", 413, NO),
    Fault("OUTPUT_UNAVAILABLE", 400, NO, INVALID),
    Fault("UNAUTHENTICATED", 401, {"detail": "Invalid token."}),
    Fault(
        "QUOTA_EXCEEDED",
        429,
        {"detail": "Request was throttled. Expected available in 7 seconds."},
        retry_after_ms=6100,
        retry_after="7",
    ),
    Fault(
        "INVALID_SEQUENCE",
        400,
        {"error": {"items__3__sequence": ["bad"], "params__repr_layers__0": ["worse"]}},
        INVALID,
        fields={"items[3].sequence": "bad", "options.repr_layers[0]": "worse"},
    ),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: str(fault.reason))
@pytest.mark.parametrize(
    ("version", "action"),
    [
        ("v2", "encode"),
        ("v2", "predict"),
        ("v3", "encode"),
        ("v3", "score"),
        ("v1", "predict"),
        ("v1", "log_prob"),
    ],
)
def test_what_the_service_refuses(
    client: httpx.Client, script: Script, version: str, action: str, fault: Fault
) -> None:
    script.refuse = status(fault.reason, "no", fault.fields, fault.retry_after_ms)
    sequence = "M<mask>" if action == "predict" else "M"

    answer = client.post(path_of(version, action), json={"items": [{"sequence": sequence}]})

    body = fault.hub if version == "v1" and fault.hub else fault.body
    assert (answer.status_code, answer.json()) == (fault.http_status, body)
    assert answer.headers.get("retry-after") == fault.retry_after


def test_items_that_the_service_refuses_are_all_named(client: httpx.Client, script: Script) -> None:
    script.refuse_items = {
        0: status("INVALID_SEQUENCE", "bad", {"items[0].sequence": "bad"}),
        2: status("SEQUENCE_TOO_LONG", "long", {"sequence": "long"}),
        3: status("INVALID_SEQUENCE", "no fields"),
    }
    answer = client.post(path_of("v2"), json={"items": [{"sequence": "M"}] * 4})
    assert answer.status_code == 400
    assert answer.json() == {
        "error": {
            "items__0__sequence": ["bad"],
            "items__2__sequence": ["long"],
            "items__3": ["no fields"],
        }
    }


def test_a_fault_of_one_item_comes_before_bad_input(client: httpx.Client, script: Script) -> None:
    script.refuse_items = {0: status("INVALID_SEQUENCE", "bad"), 1: status("OUT_OF_MEMORY")}
    answer = client.post(path_of("v2"), json={"items": [{"sequence": "M"}] * 2})
    assert (answer.status_code, answer.json()) == (500, NO)


def test_numbers_that_json_cannot_write(client: httpx.Client, script: Script) -> None:
    script.not_finite = True
    answer = client.post(path_of("v2"), json={"items": [{"sequence": "M"}]})
    assert answer.status_code == 500
    assert answer.json()["detail"] == "the model gave numbers that are not finite"


def test_a_model_that_loads(client: httpx.Client, script: Script) -> None:
    loading = models_pb.Model(
        name="esm2-35m",
        family=models_pb.MODEL_FAMILY_ESM2,
        state=models_pb.MODEL_STATE_LOADING,
        state_detail="reading weights",
    )
    script.models["esm2-35m"] = loading
    answer = client.post("/api/v2/esm2-35m/encode/", json={"items": [{"sequence": "M"}]})
    assert answer.status_code == 503
    assert answer.json()["detail"] == "model 'esm2-35m': reading weights"
    assert answer.headers["retry-after"] == "1"

    script.models["esm2-35m"] = scripted.model("esm2-35m")
    answer = client.post("/api/v2/esm2-35m/encode/", json={"items": [{"sequence": "M"}]})
    assert answer.status_code == 200


def test_a_model_that_changed_is_asked_about_again_after_an_error(
    client: httpx.Client, script: Script
) -> None:
    path = "/api/v2/esm2-changing/encode/"
    body = {"params": {"repr_layers": [5]}, "items": [{"sequence": "M"}]}
    script.models["esm2-changing"] = scripted.model("esm2-changing")
    assert client.post(path, json=body).status_code == 400
    script.models["esm2-changing"] = scripted.model("esm2-changing", last_layer=6)
    assert client.post(path, json=body).status_code == 400
    script.refuse = status("INTERNAL")
    assert client.post(path, json={"items": [{"sequence": "M"}]}).status_code == 500
    script.refuse = None
    assert client.post(path, json=body).status_code == 200


def test_an_answer_too_large_to_hold(service: ScriptedServer, client: httpx.Client) -> None:
    service.script.models["esm2-3b"] = scripted.model("esm2-3b", last_layer=36, width=2560)
    body = {
        "params": {"include": ["per_token"], "repr_layers": list(range(37))},
        "items": [{"sequence": "M" * 2048}] * 8,
    }
    answer = client.post("/api/v2/esm2-3b/encode/", content=json.dumps(body))
    assert answer.status_code == 413
    assert answer.json()["detail"] == (
        "the answer would hold 6207569920 bytes of numbers, and at most 536870912 are sent: "
        "ask for fewer items, layers or outputs"
    )
    assert service.script.requests == []
