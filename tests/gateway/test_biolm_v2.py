"""What a request that is in order gets."""

import gzip
import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from primase.esm2.v1 import esm2_service_pb2 as pb
from primase.models.v1 import model_service_pb2 as models_pb
from primase.type.v1 import tensor_pb2
from tests.gateway import scripted
from tests.gateway.scripted import Script, values

ENCODE = "/api/v2/esm2-8m/encode/"
PREDICT = "/api/v2/esm2-8m/predict/"
GOLDENS = json.loads((Path(__file__).parent / "data" / "biolm_v2_shapes.json").read_text())


def encode(client: httpx.Client, *sequences: str, **params: Any) -> list[dict[str, Any]]:
    items = [{"sequence": sequence} for sequence in sequences]
    answer = client.post(ENCODE, json={"params": params, "items": items})
    assert answer.status_code == 200, answer.text
    assert list(answer.json()) == ["results"]
    results: list[dict[str, Any]] = answer.json()["results"]
    return results


def same(numbers: object, array: np.ndarray[Any, Any]) -> bool:
    """Whether JSON numbers are the float32 numbers that were sent, bit for bit."""
    return np.array_equal(np.asarray(numbers, dtype=np.float32), array)


def test_mean_of_the_last_layer_is_the_default(client: httpx.Client, script: Script) -> None:
    answer = client.post(ENCODE, json={"items": [{"sequence": "MSILV"}]})

    (result,) = answer.json()["results"]
    assert list(result) == ["sequence_index", "mean_representations"]
    assert result["sequence_index"] == 0
    assert list(result["mean_representations"]) == ["3"]
    assert same(result["mean_representations"]["3"], values("MSILV", pb.INCLUDE_MEAN, 3, (4,)))
    (asked,) = script.requests
    assert asked == pb.StreamEncodeRequest(
        model="esm2-8m",
        items=[pb.EncodeItem(sequence="MSILV")],
        options=pb.EncodeOptions(
            repr_layers=[3],
            include=[pb.INCLUDE_MEAN],
            output_data_type=tensor_pb2.DATA_TYPE_FLOAT32,
        ),
    )


def test_every_output_in_the_documented_order(client: httpx.Client) -> None:
    (result,) = encode(
        client,
        "MKTV",
        include=["attentions", "logits", "contacts", "per_token", "bos", "mean"],
        repr_layers=[-1, 0],
    )

    assert list(result) == [
        "sequence_index",
        "mean_representations",
        "bos_representations",
        "representations",
        "contacts",
        "logits",
        "attentions",
    ]
    by_layer = {
        "mean_representations": (pb.INCLUDE_MEAN, (4,)),
        "bos_representations": (pb.INCLUDE_BOS, (4,)),
        "representations": (pb.INCLUDE_PER_TOKEN, (4, 4)),
    }
    for key, (kind, shape) in by_layer.items():
        assert list(result[key]) == ["0", "3"]
        for layer in (0, 3):
            assert same(result[key][str(layer)], values("MKTV", kind, layer, shape))
    assert same(result["contacts"], values("MKTV", pb.INCLUDE_CONTACTS, 0, (4, 4)))
    assert same(result["attentions"], values("MKTV", pb.INCLUDE_ATTENTIONS, 0, (3, 4)))
    assert same(result["logits"], values("MKTV", pb.INCLUDE_LOGITS, 0, (4, 33))[:, 4:24])


@pytest.mark.parametrize("golden", GOLDENS, ids=lambda golden: str(golden["name"]))
def test_shapes_are_those_of_published_answers(
    client: httpx.Client, script: Script, golden: dict[str, Any]
) -> None:
    script.models["esm2-650m"] = scripted.model("esm2-650m", last_layer=33, width=1280)

    answer = client.post(golden["endpoint"], json=golden["request"])

    (result,) = answer.json()["results"]
    (published,) = golden["results"]
    assert list(result) == list(published)
    assert list(result["mean_representations"]) == list(published["mean_representations"])
    for key, shape in published.items():
        if key == "mean_representations":
            assert {k: [len(v)] for k, v in result[key].items()} == shape
        elif key != "sequence_index":
            assert list(np.shape(result[key])) == shape


@pytest.mark.parametrize(
    ("asked", "resolved"),
    [
        ([-1], ["3"]),
        ([-1, -2], ["2", "3"]),
        ([3, -1, 3], ["3"]),
        ([3, 0, -2], ["0", "2", "3"]),
        ([-4], ["0"]),
        ([], []),
    ],
)
def test_layers_ascend_and_are_unique(
    client: httpx.Client, asked: list[int], resolved: list[str]
) -> None:
    (result,) = encode(client, "MKTV", repr_layers=asked)
    assert list(result["mean_representations"]) == resolved


def test_no_output_at_all(client: httpx.Client, script: Script) -> None:
    assert encode(client, "MKTV", "AC", include=[]) == [
        {"sequence_index": 0},
        {"sequence_index": 1},
    ]
    assert script.requests == []


def test_no_layers_but_contacts(client: httpx.Client, script: Script) -> None:
    (result,) = encode(client, "MK", include=["mean", "contacts"], repr_layers=[])
    assert list(result) == ["sequence_index", "mean_representations", "contacts"]
    assert result["mean_representations"] == {}
    assert script.requests[0].options.include == [pb.INCLUDE_CONTACTS]


def test_eight_items_in_order(client: httpx.Client) -> None:
    sequences = ["M" * n for n in range(1, 9)]
    results = encode(client, *sequences)
    assert [result["sequence_index"] for result in results] == list(range(8))
    for sequence, result in zip(sequences, results, strict=True):
        expected = values(sequence, pb.INCLUDE_MEAN, 3, (4,))
        assert same(result["mean_representations"]["3"], expected)


@pytest.mark.parametrize("sequence", ["-M-", "BXZUO", "ACDEFGHIKLMNPQRSTVWY", "M" * 2048])
def test_sequences_that_encode_reads(client: httpx.Client, sequence: str) -> None:
    assert len(encode(client, sequence)) == 1


@pytest.mark.parametrize("params", [None, {}, {"unknown": 1}])
def test_params_may_be_null_empty_or_unknown(client: httpx.Client, params: object) -> None:
    body = {"params": params, "items": [{"sequence": "MKTV", "id": 7}], "more": []}
    answer = client.post(ENCODE, json=body)
    assert list(answer.json()["results"][0]) == ["sequence_index", "mean_representations"]


def test_predict(client: httpx.Client) -> None:
    answer = client.post(PREDICT, json={"items": [{"sequence": "M<mask>L<mask>"}]})

    (result,) = answer.json()["results"]
    assert list(result) == ["logits", "sequence_tokens", "alphabet_tokens"]
    assert result["sequence_tokens"] == ["M", "<mask>", "L", "<mask>"]
    assert "".join(result["alphabet_tokens"]) == "LAGVSERTIDPKQNFYMHWC"
    logits = values("M<mask>L<mask>", pb.INCLUDE_LOGITS, 0, (4, 33))[:, 4:24]
    assert same(result["logits"], logits)


@pytest.mark.parametrize("params", [{"include": ["mean", "logits", "attentions"]}, 3, None, ["x"]])
def test_predict_ignores_params(client: httpx.Client, params: object) -> None:
    answer = client.post(PREDICT, json={"params": params, "items": [{"sequence": "M<mask>"}]})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/api/v2/esm2-8m/encode",
        "/api/v2/esm2-8m/encode/",
        "/api/v2/ESM2-8M/encode/",
        "/api/v2/Esm2-8m/encode",
    ],
)
def test_slashes_and_case_are_free(client: httpx.Client, path: str) -> None:
    answer = client.post(path, json={"items": [{"sequence": "M"}]}, follow_redirects=False)
    assert answer.status_code == 200


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded"])
def test_the_body_is_json_whatever_its_type_says(
    client: httpx.Client, content_type: str | None
) -> None:
    headers = {"content-type": content_type} if content_type else {}
    answer = client.post(ENCODE, content=b'{"items":[{"sequence":"M"}]}', headers=headers)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("name", ["gzip", "x-gzip", "GZIP"])
def test_gzip_bodies(client: httpx.Client, name: str) -> None:
    # Two members are one text, as gzip has it.
    body = gzip.compress(b'{"items":[{"seq') + gzip.compress(b'uence":"M"}]}')
    answer = client.post(ENCODE, content=body, headers={"content-encoding": name})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("source", "label"),
    [
        (models_pb.WEIGHTS_SOURCE_DEMO, "demo"),
        (models_pb.WEIGHTS_SOURCE_FIXTURE, "demo"),
        (models_pb.WEIGHTS_SOURCE_RANDOM, "random"),
        (models_pb.WEIGHTS_SOURCE_FILE, None),
        (models_pb.WEIGHTS_SOURCE_HUB, None),
    ],
)
def test_answers_say_what_weights_made_them(
    client: httpx.Client,
    script: Script,
    source: models_pb.WeightsSource.ValueType,
    label: str | None,
) -> None:
    slug = f"esm2-source-{source}"
    script.models[slug] = scripted.model(slug, source)
    good = client.post(f"/api/v2/{slug}/encode/", json={"items": [{"sequence": "M"}]})
    bad = client.post(f"/api/v2/{slug}/encode/", json={"items": []})
    assert good.headers.get("x-primase-weights") == label
    assert bad.headers.get("x-primase-weights") == label


def test_a_large_answer_arrives_whole(client: httpx.Client, script: Script) -> None:
    script.models["esm2-650m"] = scripted.model("esm2-650m", last_layer=33, width=1280)
    body = {"params": {"include": ["per_token"]}, "items": [{"sequence": "MK" * 500}]}

    answer = client.post("/api/v2/esm2-650m/encode/", json=body)

    assert answer.headers["transfer-encoding"] == "chunked"
    rows = answer.json()["results"][0]["representations"]["33"]
    assert same(rows, values("MK" * 500, pb.INCLUDE_PER_TOKEN, 33, (1000, 1280)))
