"""What a request that is not in order gets: every rule, by table."""

import json
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from primase.models.v1 import model_service_pb2 as models_pb
from tests.gateway import scripted
from tests.gateway.scripted import Script, ScriptedServer, status

ENCODE = "/api/v2/esm2-8m/encode/"
PREDICT = "/api/v2/esm2-8m/predict/"
LETTERS = "ACDEFGHIKLMNPQRSTVWYBXZUO"
BOUNDS = (
    "Requested representation layers are out of bounds. "
    "Ensure the layer indices are between -4 and 3."
)


def residues(alphabet: str, character: str, position: int) -> str:
    return (
        f"Residues can only be represented with '{alphabet}' characters; "
        f"found '{character}' at position {position}, counted from 0"
    )


def encode_message(character: str, position: int) -> str:
    return residues(LETTERS + "-", character, position)


def predict_message(character: str, position: int) -> str:
    return residues(LETTERS, character, position)


NO_RESIDUE = "Expected at least one residue, got none"
NO_MASK = "Expected at least one occurrence of '<mask>', got none"
NOT_TEXT = "Input should be a valid string"
NOT_INTEGER = "Input should be a valid integer"
NOT_LIST = "Input should be a valid list"
NOT_OBJECT = "Input should be an object"
MISSING = "Field required"
EMPTY = "String should have at least 1 character"
TOO_LONG = "String should have at most 2048 characters"
INCLUDES = "Input should be 'mean', 'per_token', 'bos', 'contacts', 'logits' or 'attentions'"


@pytest.mark.parametrize(
    ("sequence", "message"),
    [
        ("MKj", encode_message("j", 2)),
        ("mKT", encode_message("m", 0)),
        ("MKJ", encode_message("J", 2)),
        ("M.K", encode_message(".", 1)),
        ("MK*", encode_message("*", 2)),
        ("M K", encode_message(" ", 1)),
        ("MK1", encode_message("1", 2)),
        ("MKT\n", encode_message(r"\n", 3)),
        ("M\x00", encode_message(r"\x00", 1)),
        ("MÅ", encode_message(r"\xc5", 1)),
        ("M🧬", encode_message(r"\U0001f9ec", 1)),
        ("M<mask>", encode_message("<", 1)),
        ("", EMPTY),
        ("---", NO_RESIDUE),
        ("M" * 2049, TOO_LONG),
        (3, NOT_TEXT),
        (3.5, NOT_TEXT),
        (True, NOT_TEXT),
        (None, NOT_TEXT),
        (["M"], NOT_TEXT),
        ({"a": "M"}, NOT_TEXT),
    ],
)
def test_sequences_that_encode_refuses(
    client: httpx.Client, script: Script, sequence: object, message: str
) -> None:
    answer = client.post(ENCODE, json={"items": [{"sequence": "MKT"}, {"sequence": sequence}]})
    assert answer.status_code == 400
    assert answer.json() == {"error": {"items__1__sequence": [message]}}
    assert script.requests == []


@pytest.mark.parametrize(
    ("sequence", "message"),
    [
        ("MKT", NO_MASK),
        ("<mask>", NO_RESIDUE),
        ("<mask><mask>", NO_RESIDUE),
        ("M<mask>-", predict_message("-", 7)),
        ("M<mask>j", predict_message("j", 7)),
        ("M<mask", predict_message("<", 1)),
        ("M<MASK>", predict_message("<", 1)),
        ("M<mask>\n", predict_message(r"\n", 7)),
        ("", EMPTY),
        ("<mask>" + "M" * 2043, TOO_LONG),
        (7, NOT_TEXT),
    ],
)
def test_sequences_that_predict_refuses(
    client: httpx.Client, sequence: object, message: str
) -> None:
    answer = client.post(PREDICT, json={"items": [{"sequence": sequence}]})
    assert answer.status_code == 400
    assert answer.json() == {"error": {"items__0__sequence": [message]}}


@pytest.mark.parametrize(
    ("params", "errors"),
    [
        ({"repr_layers": [4]}, {"params__repr_layers": [BOUNDS]}),
        ({"repr_layers": [-5, 0]}, {"params__repr_layers": [BOUNDS]}),
        ({"repr_layers": [2**63]}, {"params__repr_layers": [BOUNDS]}),
        ({"repr_layers": [-(2**63)]}, {"params__repr_layers": [BOUNDS]}),
        ({"repr_layers": [10**30]}, {"params__repr_layers__0": [NOT_INTEGER]}),
        ({"repr_layers": [1.5]}, {"params__repr_layers__0": [NOT_INTEGER]}),
        ({"repr_layers": [1.0]}, {"params__repr_layers__0": [NOT_INTEGER]}),
        ({"repr_layers": [0, "-1"]}, {"params__repr_layers__1": [NOT_INTEGER]}),
        ({"repr_layers": [True]}, {"params__repr_layers__0": [NOT_INTEGER]}),
        ({"repr_layers": [None]}, {"params__repr_layers__0": [NOT_INTEGER]}),
        ({"repr_layers": -1}, {"params__repr_layers": [NOT_LIST]}),
        ({"repr_layers": None}, {"params__repr_layers": [NOT_LIST]}),
        (
            {"repr_layers": [0] * 129},
            {
                "params__repr_layers": [
                    "List should have at most 128 items after validation, not 129"
                ]
            },
        ),
        ({"include": "mean"}, {"params__include": [NOT_LIST]}),
        ({"include": None}, {"params__include": [NOT_LIST]}),
        ({"include": ["mean", "x"]}, {"params__include__1": [INCLUDES]}),
        ({"include": [1]}, {"params__include__0": [INCLUDES]}),
        ({"include": [["mean"]]}, {"params__include__0": [INCLUDES]}),
        (
            {"include": ["mean"] * 17},
            {"params__include": ["List should have at most 16 items after validation, not 17"]},
        ),
        ([], {"params": [NOT_OBJECT]}),
        ("mean", {"params": [NOT_OBJECT]}),
        (0, {"params": [NOT_OBJECT]}),
    ],
)
def test_params_that_encode_refuses(
    client: httpx.Client, params: object, errors: dict[str, list[str]]
) -> None:
    answer = client.post(ENCODE, json={"params": params, "items": [{"sequence": "M"}]})
    assert (answer.status_code, answer.json()) == (400, {"error": errors})


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({}, {"items": [MISSING]}),
        ([], {"body": [NOT_OBJECT]}),
        (None, {"body": [NOT_OBJECT]}),
        ("text", {"body": [NOT_OBJECT]}),
        ({"items": None}, {"items": [NOT_LIST]}),
        ({"items": {}}, {"items": [NOT_LIST]}),
        ({"items": "MKT"}, {"items": [NOT_LIST]}),
        ({"items": ["MKT"]}, {"items__0": [NOT_OBJECT]}),
        ({"items": [{}]}, {"items__0__sequence": [MISSING]}),
        (
            {"items": []},
            {"items": ["List should have at least 1 item after validation, not 0"]},
        ),
        (
            {"items": [{"sequence": "M<mask>"}] * 9},
            {"items": ["List should have at most 8 items after validation, not 9"]},
        ),
    ],
)
@pytest.mark.parametrize("path", [ENCODE, PREDICT])
def test_bodies_that_both_refuse(
    client: httpx.Client, path: str, body: object, errors: dict[str, list[str]]
) -> None:
    answer = client.post(path, content=json.dumps(body))
    assert (answer.status_code, answer.json()) == (400, {"error": errors})


def test_one_answer_names_everything_that_is_wrong(client: httpx.Client) -> None:
    answer = client.post(
        ENCODE,
        json={
            "params": {"repr_layers": ["x"], "include": ["y", "mean", "z"]},
            "items": [{"sequence": "MKT"}, {"sequence": "mkt"}, {"sequence": 5}, {}],
        },
    )
    assert answer.status_code == 400
    assert answer.json() == {
        "error": {
            "params__repr_layers__0": [NOT_INTEGER],
            "params__include__0": [INCLUDES],
            "params__include__2": [INCLUDES],
            "items__1__sequence": [encode_message("m", 0)],
            "items__2__sequence": [NOT_TEXT],
            "items__3__sequence": [MISSING],
        }
    }


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
    answer = client.post(ENCODE, content=text)
    assert answer.status_code == 400
    ((field, (message,)),) = answer.json()["error"].items()
    assert field == "body"
    assert message.startswith("JSON decode error: ")
    assert len(message) < 200


def test_of_two_equal_keys_the_last_counts(client: httpx.Client) -> None:
    text = b'{"items":[],"items":[{"sequence":"m","sequence":"M"}]}'
    assert client.post(ENCODE, content=text).status_code == 200


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/api/v2/esm2-9m/encode/", "Model 'esm2-9m' not found"),
        ("/api/v2/progen2-oas/generate/", "Model 'progen2-oas' not found"),
        ("/api/v2/esm2%208m/encode/", "Model 'esm2 8m' not found"),
        ("/api/v2/" + "x" * 129 + "/encode/", f"Model '{'x' * 128}' not found"),
        ("/api/v2/esm2-8m/encoder/", "Model 'esm2-8m' has no action 'encoder'"),
        ("/api/v2/esm2-8m/ENCODE/", "Model 'esm2-8m' has no action 'ENCODE'"),
        ("/api/v2/esm2-8m/generate/", "Model 'esm2-8m' has no action 'generate'"),
        ("/api/v2/esm2-8m/", "Not Found"),
        ("/api/v2/esm2-8m/encode/more", "Not Found"),
        ("/api/v2/esm2-8m/encode//", "Not Found"),
    ],
)
def test_unknown_places(client: httpx.Client, path: str, message: str) -> None:
    answer = client.post(path, json={"items": [{"sequence": "M"}]})
    assert answer.status_code == 404
    assert answer.json() == {"error": message, "detail": message}
    assert answer.headers["content-type"] == "application/json"


def test_a_model_of_another_family_has_no_such_action(client: httpx.Client, script: Script) -> None:
    script.models["progen2-oas"] = models_pb.Model(
        name="progen2-oas",
        family=models_pb.MODEL_FAMILY_PROGEN2,
        state=models_pb.MODEL_STATE_READY,
    )
    answer = client.post("/api/v2/progen2-oas/encode/", json={"items": [{"sequence": "M"}]})
    assert answer.status_code == 404


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("path", [ENCODE, PREDICT, "/api/v2/esm2-8m/encode"])
def test_other_methods(client: httpx.Client, method: str, path: str) -> None:
    answer = client.request(method, path)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"
    assert answer.json() == {"error": "Method Not Allowed", "detail": "Method Not Allowed"}


@dataclass(frozen=True)
class Fault:
    """Something that the service says, and what becomes of it."""

    reason: str
    http_status: int
    body: dict[str, Any]
    fields: dict[str, str] | None = None
    retry_after_ms: int | None = None
    retry_after: str | None = None


NO = {"error": "no", "detail": "no"}
FAULTS = [
    Fault("QUEUE_FULL", 503, NO, retry_after_ms=2500, retry_after="3"),
    Fault("SHUTTING_DOWN", 503, NO, retry_after="1"),
    Fault("MODEL_NOT_READY", 503, NO, retry_after="1"),
    Fault("INTERNAL", 500, NO),
    Fault("OUT_OF_MEMORY", 500, NO),
    Fault("DEADLINE_EXPIRED", 504, NO, retry_after="1"),
    Fault("REQUEST_TOO_LARGE", 413, NO),
    Fault("OUTPUT_UNAVAILABLE", 400, NO),
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
        fields={"items[3].sequence": "bad", "options.repr_layers[0]": "worse"},
    ),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: str(fault.reason))
@pytest.mark.parametrize("path", [ENCODE, PREDICT])
def test_what_the_service_refuses(
    client: httpx.Client, script: Script, path: str, fault: Fault
) -> None:
    script.refuse = status(fault.reason, "no", fault.fields, fault.retry_after_ms)
    sequence = "M" if path == ENCODE else "M<mask>"

    answer = client.post(path, json={"items": [{"sequence": sequence}]})

    assert (answer.status_code, answer.json()) == (fault.http_status, fault.body)
    assert answer.headers.get("retry-after") == fault.retry_after


def test_items_that_the_service_refuses_are_all_named(client: httpx.Client, script: Script) -> None:
    script.refuse_items = {
        0: status("INVALID_SEQUENCE", "bad", {"items[0].sequence": "bad"}),
        2: status("SEQUENCE_TOO_LONG", "long", {"sequence": "long"}),
        3: status("INVALID_SEQUENCE", "no fields"),
    }
    answer = client.post(ENCODE, json={"items": [{"sequence": "M"}] * 4})
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
    answer = client.post(ENCODE, json={"items": [{"sequence": "M"}] * 2})
    assert (answer.status_code, answer.json()) == (500, NO)


def test_numbers_that_json_cannot_write(client: httpx.Client, script: Script) -> None:
    script.not_finite = True
    answer = client.post(ENCODE, json={"items": [{"sequence": "M"}]})
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
