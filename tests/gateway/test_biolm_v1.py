"""What a request in order gets from the hub's version 1: every key, and null where not asked."""

from typing import Any

import httpx
import pytest

from tests.gateway.scripted import Script

ENCODE = "/api/v1/esm2-8m/encode"
PREDICT = "/api/v1/esm2-8m/predict"
KEYS = [
    "sequence_index",
    "embeddings",
    "bos_embeddings",
    "residue_embeddings",
    "contacts",
    "attentions",
    "logits",
    "vocab_tokens",
]


def encode(client: httpx.Client, **params: Any) -> dict[str, Any]:
    answer = client.post(ENCODE, json={"params": params, "items": [{"sequence": "MKTV"}]})
    assert answer.status_code == 200, answer.text
    (result,) = answer.json()["results"]
    assert list(result) == KEYS
    checked: dict[str, Any] = result
    return checked


def encode_v3(client: httpx.Client, **params: Any) -> dict[str, Any]:
    body = {"params": params, "items": [{"sequence": "MKTV"}]}
    (result,) = client.post("/api/v3/esm2-8m/encode/", json=body).json()["results"]
    checked: dict[str, Any] = result
    return checked


@pytest.mark.parametrize(
    ("include", "given"),
    [
        ([], set()),
        (["mean"], {"embeddings"}),
        (["bos"], {"bos_embeddings"}),
        (["per_token"], {"residue_embeddings"}),
        (["per_residue"], {"residue_embeddings"}),
        (["contacts"], {"contacts"}),
        (["attentions"], {"attentions"}),
        (["logits"], {"logits", "vocab_tokens"}),
    ],
)
def test_what_is_not_asked_for_is_null(
    client: httpx.Client, include: list[str], given: set[str]
) -> None:
    result = encode(client, include=include)
    assert {key for key, value in result.items() if value is not None} == {"sequence_index"} | given


def test_the_numbers_are_those_of_version_3(client: httpx.Client) -> None:
    outputs = ["mean", "bos", "contacts", "attentions", "logits"]
    hub = encode(client, include=[*outputs, "per_residue", "per_token"], repr_layers=[-1, 0, 0])
    hosted = encode_v3(client, include=[*outputs, "per_token"], repr_layers=[-1, 0])
    hosted["residue_embeddings"] = hosted.pop("per_token_embeddings")
    assert hub == hosted


def test_mean_is_the_default(client: httpx.Client) -> None:
    answer = client.post(ENCODE, json={"items": [{"sequence": "MKTV"}]})
    assert answer.json()["results"] == [encode(client, include=["mean"], repr_layers=[3])]


def test_no_layers(client: httpx.Client, script: Script) -> None:
    assert encode(client, repr_layers=[])["embeddings"] == []
    assert script.requests == []


def test_predict(client: httpx.Client) -> None:
    body = {"items": [{"sequence": "M<mask>L"}]}
    hub = client.post(PREDICT, json=body).json()
    assert list(hub["results"][0]) == ["logits", "sequence_tokens", "vocab_tokens"]
    assert hub == client.post("/api/v3/esm2-8m/predict/", json=body).json()


@pytest.mark.parametrize("path", [ENCODE, f"{ENCODE}/", "/api/v1/ESM2-8m/encode"])
@pytest.mark.parametrize(
    "content_type",
    ["application/json", "Application/JSON; charset=utf-8", "application/vnd.api+json"],
)
def test_slashes_case_and_types_of_json_are_free(
    client: httpx.Client, path: str, content_type: str
) -> None:
    answer = client.post(
        path, content=b'{"items":[{"sequence":"M"}]}', headers={"content-type": content_type}
    )
    assert answer.status_code == 200
