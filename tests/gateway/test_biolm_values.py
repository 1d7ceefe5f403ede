"""The numbers of the dialects, from the real service, against fair-esm on the same weights.

The formulas are written out here once more, from the contract's own words.
"""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from primase_gateway.settings import Settings as GatewaySettings
from primase_server.app import App
from primase_server.settings import Listen, ModelSettings, Settings
from tests.gateway.live import gateway
from tests.models.esm2.fixture_model import fair_model
from tests.models.esm2.reference import ALPHABET

Array = NDArray[np.float64]
PROTEIN = "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQAPILSRVGDGTQDNLSGAEKAVQVKVKALPDAQFEVV"
SHORT = "MSILVXBUZO-"
ALL = ["mean", "bos", "per_token", "contacts", "logits", "attentions"]
COLUMNS = [ALPHABET.get_idx(residue) for residue in "LAGVSERTIDPKQNFYMHWC"]
LAST = 6


@dataclass(frozen=True)
class Reference:
    """What fair-esm says of one sequence of L residues."""

    hidden: Array  # [layers + 1, L + 2, width]
    attentions: Array  # [layers, heads, L + 2, L + 2]
    contacts: Array  # [L, L]
    logits: Array  # [L, 20]


@torch.no_grad()
def reference(sequence: str) -> Reference:
    _, _, tokens = ALPHABET.get_batch_converter()([("", sequence)])
    said = fair_model()(tokens, repr_layers=range(LAST + 1), return_contacts=True)
    hidden = [said["representations"][layer][0].double().numpy() for layer in range(LAST + 1)]
    return Reference(
        hidden=np.stack(hidden),
        attentions=said["attentions"][0].double().numpy(),
        contacts=said["contacts"][0].double().numpy(),
        logits=said["logits"][0, 1:-1, COLUMNS].double().numpy(),
    )


@torch.no_grad()
def logits_of(sequence: str) -> Array:
    """[L, 20]; without all the attentions of a long sequence."""
    _, _, tokens = ALPHABET.get_batch_converter()([("", sequence)])
    logits: Array = fair_model()(tokens)["logits"][0, 1:-1, COLUMNS].double().numpy()
    return logits


def close(numbers: object, wanted: Array, tolerance: float = 1e-4) -> None:
    """Within the tolerance, relative to the largest number of the array."""
    np.testing.assert_allclose(
        np.asarray(numbers), wanted, rtol=0, atol=tolerance * np.abs(wanted).max()
    )


@pytest.fixture(scope="module")
def real() -> Iterator[httpx.Client]:
    settings = Settings(
        models=(ModelSettings("esm2-fixture", "fixture", ("esm2-8m",)),),
        grpc=Listen("127.0.0.1", 0),
        rest=None,
        num_threads=1,
        withdraw_s=0,
        grace_s=0,
    )
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def run(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(60)

    async def start() -> App:
        app = App(settings)
        await app.start()
        await app.ready()
        return app

    app = run(start())
    beside = GatewaySettings(server=f"127.0.0.1:{app.grpc_port}")
    with gateway(beside) as live, httpx.Client(base_url=live.url, timeout=60) as opened:
        yield opened
    run(app.stop())
    loop.call_soon_threadsafe(loop.stop)
    thread.join(60)
    loop.close()


def encode(real: httpx.Client, *sequences: str, **params: Any) -> list[dict[str, Any]]:
    items = [{"sequence": sequence} for sequence in sequences]
    answer = real.post("/api/v2/esm2-8m/encode/", json={"params": params, "items": items})
    assert answer.status_code == 200, answer.text
    results: list[dict[str, Any]] = answer.json()["results"]
    return results


@pytest.mark.parametrize("sequence", [PROTEIN, SHORT, "M"])
def test_encode(real: httpx.Client, sequence: str) -> None:
    wanted = reference(sequence)
    layers = list(range(LAST + 1))
    (result,) = encode(real, sequence, include=ALL, repr_layers=layers)

    assert list(result["mean_representations"]) == [str(layer) for layer in layers]
    for layer in layers:
        residues = wanted.hidden[layer, 1:-1]
        close(result["mean_representations"][str(layer)], residues.mean(axis=0))
        close(result["bos_representations"][str(layer)], wanted.hidden[layer, 0])
        close(result["representations"][str(layer)], residues)
    close(result["contacts"], wanted.contacts, 1e-5)
    close(result["logits"], wanted.logits)
    divisor = len(sequence) + 2
    received = wanted.attentions.mean(axis=1).sum(axis=1)[:, 1:-1] / divisor
    close(result["attentions"], received, 1e-5)


def test_predict(real: httpx.Client) -> None:
    sequence = "MK<mask>AYIA<mask><mask>KQR"
    answer = real.post("/api/v2/esm2-8m/predict/", json={"items": [{"sequence": sequence}]})
    (result,) = answer.json()["results"]
    assert result["sequence_tokens"] == [
        *("M", "K", "<mask>", "A", "Y", "I", "A", "<mask>", "<mask>", "K", "Q", "R")
    ]
    close(result["logits"], reference(sequence).logits)


@pytest.mark.parametrize("sequence", [PROTEIN, SHORT, "MK" * 1024])
def test_log_prob_is_of_one_pass_however_long(real: httpx.Client, sequence: str) -> None:
    answer = real.post("/api/v3/esm2-8m/score/", json={"items": [{"sequence": sequence}]})
    logits = logits_of(sequence)
    log_softmax = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    column = {residue: index for index, residue in enumerate("LAGVSERTIDPKQNFYMHWC")}
    wanted = sum(log_softmax[i, column[c]] for i, c in enumerate(sequence) if c in column)
    assert answer.json() == {"results": [{"log_prob": pytest.approx(wanted, rel=1e-5)}]}


@pytest.mark.parametrize("version", ["v1", "v3"])
def test_the_other_dialects_write_the_same_numbers(real: httpx.Client, version: str) -> None:
    (wanted,) = encode(real, PROTEIN, include=ALL, repr_layers=[2, -1])
    body = {"params": {"include": ALL, "repr_layers": [2, -1]}, "items": [{"sequence": PROTEIN}]}
    (result,) = real.post(f"/api/{version}/esm2-8m/encode/", json=body).json()["results"]
    per_token = "residue_embeddings" if version == "v1" else "per_token_embeddings"
    by_layer = {
        "mean_representations": ("embeddings", "embedding"),
        "bos_representations": ("bos_embeddings", "embedding"),
        "representations": (per_token, "embeddings"),
    }
    for key, (ours, numbers) in by_layer.items():
        assert wanted[key] == {str(entry["layer"]): entry[numbers] for entry in result[ours]}
    for key in ("contacts", "logits", "attentions"):
        assert result[key] == wanted[key]


def test_an_item_does_not_feel_its_neighbours(real: httpx.Client) -> None:
    together = encode(real, SHORT, PROTEIN, "M", include=ALL)
    for index, sequence in enumerate((SHORT, PROTEIN, "M")):
        (alone,) = encode(real, sequence, include=ALL)
        assert together[index]["sequence_index"] == index
        for key in ("contacts", "logits", "attentions"):
            close(together[index][key], np.asarray(alone[key]))
        mean = alone["mean_representations"]["6"]
        close(together[index]["mean_representations"]["6"], np.asarray(mean))


def test_the_longest_sequence_and_the_range_of_layers(real: httpx.Client) -> None:
    (result,) = encode(real, "MK" * 1024, include=["contacts"])
    assert np.shape(result["contacts"]) == (2048, 2048)
    body = {"params": {"repr_layers": [7]}, "items": [{"sequence": "M"}]}
    answer = real.post("/api/v2/esm2-8m/encode/", json=body)
    assert answer.status_code == 400
    (message,) = answer.json()["error"]["params__repr_layers"]
    assert message.endswith("between -7 and 6.")


def test_it_says_that_the_weights_are_not_real(real: httpx.Client) -> None:
    assert real.get("/v1/health/ready").json() == {"status": "ready"}
    answer = real.get("/primase/v1/models/esm2-8m")
    assert answer.headers["x-primase-weights"] == "demo"
    assert answer.json()["model"]["name"] == "esm2-fixture"
