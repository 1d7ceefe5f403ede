"""The documented 251 residues over REST and over gRPC: one answer, to the last bit of float32."""

from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

import primase
from primase.esm2_client import Esm2
from primase.esm2_results import Encoding
from primase.names import IncludeName
from tests.e2e.proteins import DOCUMENTED, DOCUMENTED_MASKED

OUTPUTS: tuple[IncludeName, ...] = ("mean", "contacts", "logits", "attentions")
COLUMNS = "LAGVSERTIDPKQNFYMHWC"
NUM_LAYERS = 6
WIDTH = 32


def float32(numbers: object) -> NDArray[np.float32]:
    return np.asarray(numbers, dtype=np.float32)


@pytest.fixture
def answer(rest: httpx.Client) -> httpx.Response:
    body = {"params": {"include": OUTPUTS}, "items": [{"sequence": DOCUMENTED}]}
    return rest.post("/api/v2/esm2-650m/encode/", json=body)


@pytest.fixture
def result(answer: httpx.Response) -> dict[str, Any]:
    [found] = answer.json()["results"]
    return dict(found)


@pytest.fixture
def encoding(esm2: Esm2) -> Encoding[NDArray[Any]]:
    [item] = esm2.encode(DOCUMENTED, include=OUTPUTS)
    return item.value


def test_the_answer_says_that_it_comes_from_demo_weights(answer: httpx.Response) -> None:
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-primase-weights"] == "demo"


def test_the_answer_has_the_documented_keys_in_order(result: dict[str, Any]) -> None:
    keys = ["sequence_index", "mean_representations", "contacts", "logits", "attentions"]
    assert list(result) == keys
    assert result["sequence_index"] == 0
    assert list(result["mean_representations"]) == [str(NUM_LAYERS)]


def test_every_array_has_its_shape(result: dict[str, Any]) -> None:
    shapes = {key: float32(result[key]).shape for key in ("contacts", "logits", "attentions")}
    assert shapes == {"contacts": (251, 251), "logits": (251, 20), "attentions": (NUM_LAYERS, 251)}
    assert float32(result["mean_representations"]["6"]).shape == (WIDTH,)


def test_grpc_gives_the_same_numbers(
    result: dict[str, Any], encoding: Encoding[NDArray[Any]], client: primase.Client
) -> None:
    vocabulary = list(client.model("esm2-650m").vocabulary)
    columns = [vocabulary.index(residue) for residue in COLUMNS]
    assert encoding.num_residues == 251
    assert list(encoding.mean) == [NUM_LAYERS]
    assert encoding.contacts is not None
    assert encoding.logits is not None
    assert encoding.attentions is not None
    np.testing.assert_array_equal(
        float32(result["mean_representations"]["6"]), encoding.mean[NUM_LAYERS], strict=True
    )
    np.testing.assert_array_equal(float32(result["contacts"]), encoding.contacts, strict=True)
    np.testing.assert_array_equal(
        float32(result["logits"]), encoding.logits[:, columns], strict=True
    )
    np.testing.assert_array_equal(float32(result["attentions"]), encoding.attentions, strict=True)


def test_the_numbers_are_of_the_kind_they_claim(encoding: Encoding[NDArray[Any]]) -> None:
    assert encoding.contacts is not None
    assert encoding.attentions is not None
    assert encoding.contacts.min() >= 0
    assert encoding.contacts.max() <= 1
    np.testing.assert_allclose(encoding.contacts, encoding.contacts.T, atol=1e-6)
    # What the special tokens receive is missing from the sum.
    received = encoding.attentions.sum(axis=1)
    assert np.all((received > 0.8) & (received < 1))


def test_prediction_gives_the_same_logits_over_both(
    rest: httpx.Client, client: primase.Client
) -> None:
    body = {
        "params": {"include": ["mean", "logits", "attentions"]},
        "items": [{"sequence": DOCUMENTED_MASKED}],
    }
    [result] = (
        rest.post("/api/v2/esm2-650m/predict/", json=body).raise_for_status().json()["results"]
    )
    [item] = client.esm2("esm2-650m").predict(DOCUMENTED_MASKED, include_logits=True)
    logits = item.value.logits
    vocabulary = list(client.model("esm2-650m").vocabulary)
    assert logits is not None
    assert list(result) == ["logits", "sequence_tokens", "alphabet_tokens"]
    assert result["sequence_tokens"][18] == "<mask>"
    assert result["alphabet_tokens"] == list(COLUMNS)
    np.testing.assert_array_equal(
        float32(result["logits"]), logits[:, [vocabulary.index(c) for c in COLUMNS]], strict=True
    )


def test_the_model_list_says_demo_and_untrained(client: primase.Client) -> None:
    esm2, evo2, progen2 = client.models()
    assert (esm2.name, evo2.name, progen2.name) == ("esm2-demo", "evo2-demo", "progen2-demo")
    for model, alias in ((esm2, "esm2-650m"), (evo2, "evo2-7b"), (progen2, "progen2-oas")):
        assert alias in model.aliases
        assert not model.weights.trained
    assert [layer.index for layer in client.model("esm2-650m").layers] == list(range(7))
