"""What a request in order gets from version 3: its shapes and the order of their keys."""

import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from primase.esm2.v1 import esm2_service_pb2 as pb
from primase_gateway import esm2
from tests.gateway import scripted
from tests.gateway.scripted import Script, values
from tests.gateway.shapes import outline

ENCODE = "/api/v3/esm2-8m/encode/"
PREDICT = "/api/v3/esm2-8m/predict/"
COLUMNS = "LAGVSERTIDPKQNFYMHWC"
DATA = Path(__file__).parent / "data"
GOLDENS = json.loads((DATA / "biolm_v3_shapes.json").read_text())
LAYERS = {"esm2-8m": 6, "esm2-35m": 12, "esm2-150m": 30, "esm2-650m": 33}
WIDTHS = {"esm2-8m": 320, "esm2-35m": 480, "esm2-150m": 640, "esm2-650m": 1280}
ALL = ["attentions", "logits", "contacts", "per_token", "bos", "mean"]


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


def test_mean_of_the_last_layer_is_the_default(client: httpx.Client) -> None:
    answer = client.post(ENCODE, json={"items": [{"sequence": "MSILV"}]})
    (result,) = answer.json()["results"]
    assert list(result) == ["sequence_index", "embeddings"]
    assert result["sequence_index"] == 0
    (layer,) = result["embeddings"]
    assert list(layer) == ["layer", "embedding"]
    assert layer["layer"] == 3
    assert same(layer["embedding"], values("MSILV", pb.INCLUDE_MEAN, 3, (4,)))


def test_every_output_in_the_documented_order(client: httpx.Client) -> None:
    (result,) = encode(client, "MKTV", include=ALL, repr_layers=[-1, 0])
    assert list(result) == [
        "sequence_index",
        "embeddings",
        "bos_embeddings",
        "per_token_embeddings",
        "contacts",
        "attentions",
        "logits",
        "vocab_tokens",
    ]
    by_layer = {
        "embeddings": ("embedding", pb.INCLUDE_MEAN, (4,)),
        "bos_embeddings": ("embedding", pb.INCLUDE_BOS, (4,)),
        "per_token_embeddings": ("embeddings", pb.INCLUDE_PER_TOKEN, (4, 4)),
    }
    for key, (numbers, kind, shape) in by_layer.items():
        assert [entry["layer"] for entry in result[key]] == [0, 3]
        for entry in result[key]:
            assert list(entry) == ["layer", numbers]
            assert same(entry[numbers], values("MKTV", kind, entry["layer"], shape))
    assert same(result["contacts"], values("MKTV", pb.INCLUDE_CONTACTS, 0, (4, 4)))
    assert same(result["attentions"], values("MKTV", pb.INCLUDE_ATTENTIONS, 0, (3, 4)))
    assert same(result["logits"], values("MKTV", pb.INCLUDE_LOGITS, 0, (4, 33))[:, 4:24])
    assert "".join(result["vocab_tokens"]) == COLUMNS


@pytest.mark.parametrize("golden", GOLDENS, ids=lambda golden: str(golden["name"]))
def test_shapes_and_order_are_those_of_published_answers(
    client: httpx.Client, script: Script, golden: dict[str, Any]
) -> None:
    slug = golden["endpoint"].split("/")[3]
    # A name of its own: the gateway remembers the others as the small models they were.
    name = f"{slug}-published"
    script.models[name] = scripted.model(name, last_layer=LAYERS[slug], width=WIDTHS[slug])

    answer = client.post(golden["endpoint"].replace(slug, name), json=golden["request"])

    results = answer.json()["results"]
    for result in results:
        # Some published answers have it, and those whose arrays are complete do not.
        result.pop("sequence_index", None)
    assert json.dumps(outline(results)) == json.dumps(golden["results"])


@pytest.mark.parametrize(
    ("asked", "resolved"),
    [([-1, -2], [2, 3]), ([3, -1, 3], [3]), ([3, 0, -2], [0, 2, 3]), ([-4], [0]), ([], [])],
)
def test_layers_ascend_and_are_unique(
    client: httpx.Client, asked: list[int], resolved: list[int]
) -> None:
    (result,) = encode(client, "MKTV", repr_layers=asked)
    assert [entry["layer"] for entry in result["embeddings"]] == resolved


def test_no_output_at_all(client: httpx.Client) -> None:
    assert encode(client, "MK", "A", include=[]) == [{"sequence_index": 0}, {"sequence_index": 1}]


def test_params_may_be_null(client: httpx.Client) -> None:
    answer = client.post(ENCODE, json={"params": None, "items": [{"sequence": "M"}]})
    assert list(answer.json()["results"][0]) == ["sequence_index", "embeddings"]


def test_predict(client: httpx.Client) -> None:
    answer = client.post(PREDICT, json={"items": [{"sequence": "M<mask>L<mask>"}]})
    (result,) = answer.json()["results"]
    assert list(result) == ["logits", "sequence_tokens", "vocab_tokens"]
    assert result["sequence_tokens"] == ["M", "<mask>", "L", "<mask>"]
    assert "".join(result["vocab_tokens"]) == COLUMNS
    logits = values("M<mask>L<mask>", pb.INCLUDE_LOGITS, 0, (4, 33))[:, 4:24]
    assert same(result["logits"], logits)


@pytest.mark.parametrize("params", [{"include": ["mean", "logits", "attentions"]}, 3, None, ["x"]])
def test_predict_ignores_params(client: httpx.Client, params: object) -> None:
    answer = client.post(PREDICT, json={"params": params, "items": [{"sequence": "M<mask>"}]})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/api/v3/esm2-8m/score",
        "/api/v3/esm2-8m/score/",
        "/api/v3/ESM2-8M/log_prob/",
        "/api/v1/esm2-8m/log_prob",
        "/api/v1/esm2-8m/score/",
    ],
)
def test_log_prob_is_the_sum_over_the_standard_residues(client: httpx.Client, path: str) -> None:
    sequence = "M-KX"
    items = [{"sequence": sequence}, {"sequence": "X"}]
    answer = client.post(path, json={"items": items}, follow_redirects=False)
    logits = values(sequence, pb.INCLUDE_LOGITS, 0, (4, 33))[:, 4:24].astype(np.float64)
    log_softmax = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    wanted = log_softmax[0, COLUMNS.index("M")] + log_softmax[2, COLUMNS.index("K")]
    assert answer.json() == {
        "results": [{"log_prob": pytest.approx(wanted, rel=1e-12)}, {"log_prob": 0.0}]
    }


def test_log_prob_of_published_logits() -> None:
    published = json.loads((DATA / "biolm_logits_176.json").read_text())
    logits = np.asarray(published["logits"], dtype=np.float32)
    log_prob = esm2.log_likelihood(published["sequence"], logits)
    assert log_prob == pytest.approx(-43.10734, abs=5e-5)
