"""The description says what the routes do."""

import re

import httpx
import pytest

from primase_gateway import openapi

SCHEMAS = openapi.document(["esm2-8m"])["components"]["schemas"]


def test_it_is_served(client: httpx.Client) -> None:
    answer = client.get("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == openapi.document(["esm2-8m"])
    assert sorted(answer.json()["paths"]) == [
        "/api/ui/community-api-models/",
        "/api/ui/community-api-models/{slug}/",
        "/api/v1/esm2-8m/encode",
        "/api/v1/esm2-8m/log_prob",
        "/api/v1/esm2-8m/predict",
        "/api/v1/esm2-8m/score",
        "/api/v1/schema/{slug}/{action}/",
        "/api/v2/schema/{slug}/{action}/",
        "/api/v2/{slug}/encode/",
        "/api/v2/{slug}/predict/",
        "/api/v3/schema/{slug}/{action}/",
        "/api/v3/{slug}/encode/",
        "/api/v3/{slug}/log_prob/",
        "/api/v3/{slug}/predict/",
        "/api/v3/{slug}/score/",
        "/primase/v1/models",
        "/primase/v1/models/{model}",
        "/primase/v1/models/{model}:encode",
        "/primase/v1/models/{model}:predict",
        "/v1/health/live",
        "/v1/health/ready",
    ]


def test_limits_are_those_of_the_contract() -> None:
    request = SCHEMAS["primase.esm2.v1.EncodeRequest"]
    assert request["properties"]["items"] == {
        "type": "array",
        "items": {"$ref": "#/components/schemas/primase.esm2.v1.EncodeItem"},
        "minItems": 1,
        "maxItems": 1024,
    }
    assert request["required"] == ["items"]
    item = SCHEMAS["primase.esm2.v1.EncodeItem"]
    assert item["properties"]["sequence"] == {
        "type": "string",
        "minLength": 1,
        "maxLength": 65536,
        "pattern": "^[ACDEFGHIKLMNPQRSTVWYBXZUO.-]*$",
        "x-unit": "residues",
    }
    options = SCHEMAS["primase.esm2.v1.EncodeOptions"]
    assert options["properties"]["reprLayers"]["items"] == {
        "type": "integer",
        "format": "int32",
        "minimum": -1000,
        "maximum": 1000,
    }


@pytest.mark.parametrize(
    ("sequence", "good"), [("MKT", True), ("--M-", True), ("---", False), ("M<mask>", False)]
)
def test_the_pattern_of_encode(sequence: str, good: bool) -> None:
    pattern = SCHEMAS["BiolmV2Encode.EncodeItem"]["properties"]["sequence"]["pattern"]
    assert bool(re.search(pattern, sequence)) == good
    assert SCHEMAS["BiolmV1Encode.EncodeItem"] == SCHEMAS["BiolmV3Encode.EncodeItem"]


@pytest.mark.parametrize(
    ("sequence", "good"),
    [
        ("M<mask>", True),
        ("<mask>M", True),
        ("<mask><mask>KT<mask>", True),
        ("M", False),
        ("<mask>", False),
        ("M<mask>-", False),
    ],
)
def test_the_pattern_of_predict(sequence: str, good: bool) -> None:
    pattern = SCHEMAS["BiolmV2Predict.PredictItem"]["properties"]["sequence"]["pattern"]
    assert bool(re.search(pattern, sequence)) == good
