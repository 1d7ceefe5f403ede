"""What a request of ProGen2's generate that is not in order gets, in each generation of the API."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from primase.progen2.v1 import progen2_service_pb2 as pb
from tests.gateway.scripted import Script, status
from tests.gateway.test_biolm_progen2 import VERSIONS, ask, each_version

TABLE = json.loads((Path(__file__).parent / "data" / "biolm_progen2_refusals.json").read_text())
ROWS = [
    pytest.param(version, row, id=f"{version} {row['case']}")
    for row in TABLE
    for version in VERSIONS
    if version in row
]
LISTED = ("type", "loc", "msg")
TYPED = {"content-type": "application/json"}

REFUSED = [
    ({"temperature": -0.1}, "temperature", None),
    ({"temperature": 8.1}, "temperature", "Input should be less than or equal to 8"),
    ({"temperature": "1"}, "temperature", "Input should be a valid number"),
    ({"temperature": None}, "temperature", "Input should be a valid number"),
    ({"top_p": -0.1}, "top_p", "Input should be greater than or equal to 0"),
    ({"top_p": 1.1}, "top_p", "Input should be less than or equal to 1"),
    ({"num_samples": 0}, "num_samples", "Input should be greater than or equal to 1"),
    ({"num_samples": 4}, "num_samples", "Input should be less than or equal to 3"),
    ({"num_samples": 1.0}, "num_samples", "Input should be a valid integer"),
    ({"num_samples": True}, "num_samples", "Input should be a valid integer"),
    ({"max_length": 11}, "max_length", "Input should be greater than or equal to 12"),
    ({"max_length": 513}, "max_length", "Input should be less than or equal to 512"),
    ({"max_length": "128"}, "max_length", "Input should be a valid integer"),
    ({"seed": 0.5}, "seed", "Input should be a valid integer"),
    ({"seed": -(2**63) - 1}, "seed", f"Input should be greater than or equal to {-(2**63)}"),
]


@each_version
@pytest.mark.parametrize(("params", "field", "said"), REFUSED)
def test_params_that_are_not_in_order(
    progen2: httpx.Client, version: str, params: dict[str, Any], field: str, said: str | None
) -> None:
    answer = ask(progen2, version, {"items": [{"context": "A"}], "params": params})
    if version == "v1":
        (entry,) = answer.json()["detail"]
        assert (answer.status_code, entry["loc"]) == (422, ["body", "params", field])
        assert entry["msg"] == (said or "Input should be greater than 0")
    else:
        assert answer.status_code == 400
        said = said or "Input should be greater than or equal to 0"
        assert answer.json() == {"error": {f"params__{field}": [said]}}


@pytest.mark.parametrize(("version", "row"), ROWS)
def test_the_table(
    progen2: httpx.Client, progen2_script: Script, version: str, row: dict[str, Any]
) -> None:
    wanted = row["v2"] if row[version] == "as v2" else row[version]
    path = f"/api/{version}/progen2-oas/generate/"
    answer = progen2.post(path, content=json.dumps(row["body"]), headers=TYPED)
    assert answer.status_code == wanted["status"], answer.text
    document = answer.json()
    if isinstance(document.get("detail"), list):
        document = {"detail": [{key: e[key] for key in LISTED} for e in document["detail"]]}
    assert document == wanted["body"]
    assert not [r for r in progen2_script.requests if isinstance(r, pb.GenerateRequest)]


@each_version
def test_a_context_that_is_too_long(progen2: httpx.Client, version: str) -> None:
    answer = ask(progen2, version, {"items": [{"context": "A" * 513}]})
    if version == "v1":
        (entry,) = answer.json()["detail"]
        said = "Value should have at most 512 items after validation, not 513"
        assert (answer.status_code, entry["type"], entry["msg"]) == (422, "too_long", said)
    else:
        said = "String should have at most 512 characters"
        assert (answer.status_code, answer.json()) == (
            400,
            {"error": {"items__0__context": [said]}},
        )


@pytest.mark.parametrize(("version", "http_status"), [("v1", 422), ("v2", 200), ("v3", 400)])
@pytest.mark.parametrize("place", ["params", "item", "body"])
def test_unknown_keys(progen2: httpx.Client, version: str, http_status: int, place: str) -> None:
    places: dict[str, dict[str, Any]] = {"params": {}, "item": {"context": "A"}, "body": {}}
    places[place]["top_k"] = 1
    body = {"items": [places["item"]], "params": places["params"]} | places["body"]
    assert ask(progen2, version, body).status_code == http_status


@pytest.mark.parametrize("version", ["v2", "v3"])
def test_params_may_be_null(progen2: httpx.Client, version: str) -> None:
    answer = ask(progen2, version, {"items": [{"context": "A"}], "params": None})
    assert answer.status_code == 200


@each_version
def test_what_the_service_refuses(
    progen2: httpx.Client, progen2_script: Script, version: str
) -> None:
    progen2_script.refuse = status("SEQUENCE_TOO_LONG", "long", {"items[0].context": "long"})
    answer = ask(progen2, version, {"items": [{"context": "A"}]})
    assert answer.status_code == 400
    if version != "v1":
        assert answer.json() == {"error": {"items__0__context": ["long"]}}

    progen2_script.refuse = status("QUEUE_FULL", "full", retry_after_ms=1500)
    answer = ask(progen2, version, {"items": [{"context": "A"}]})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
