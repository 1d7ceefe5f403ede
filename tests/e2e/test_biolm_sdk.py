"""`biolm-sdk` 1.7.0 in both of its modes: version 3, and the hub's version 1."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import primase
from primase.esm2_client import Esm2
from primase.evo2_client import Evo2
from primase.progen2_client import ProGen2
from tests.e2e.environments import foreign
from tests.e2e.foreign_client import ForeignClient
from tests.e2e.server import Server

MODEL = "esm2-650m"
DNA_MODEL = "evo2-1b-base"
DNA = "ACTGACTGTTAGC"
SEEDED = {"max_new_tokens": 9, "seed": -1}
PROTEIN_MODEL = "progen2-oas"
CONTEXTS = ["EVQ", "QVQLVQSG"]
SAMPLED = {"num_samples": 3, "max_length": 40, "seed": 7}
TWELVE = ["MSILV" + "KTAYIAKQRQIS"[:end] for end in range(12)]
LONG = "MSILVTRPSPAGEELVSRLRTLGQVAWHFPLIEFSPG" * 7
ACTION_PATHS = {"v3": f"/api/v3/{MODEL}/encode/", "v1": f"/api/v1/{MODEL}/encode"}

# The client asks the vendor's host for schemas, whatever server it talks to.
SCHEMAS_FROM = """
import os
import biolm.core.http

biolm.core.http._PLATFORM_API_URL = os.environ["SCHEMAS_FROM"]
"""
PROGRAM = f"""
{SCHEMAS_FROM}
from biolm.core.http import BioLMApi
from biolm.models import Model

paced = Model({MODEL!r}, rate_limit="1000/second")
mean = {{"include": ["mean"]}}
twelve = [{{"sequence": sequence}} for sequence in {TWELVE!r}]
three = [{{"sequence": sequence}} for sequence in ("MSILV", "MSJLV", "MKT")]
answer([
    paced.encode(items=[twelve[:8], twelve[8:]], params=mean),
    Model({MODEL!r}).encode(items=twelve, params=mean),
    paced.encode(items=[three], params=mean),
    paced.predict(items=[[{{"sequence": "M<mask>V"}}]]),
    BioLMApi({MODEL!r}, rate_limit="1000/second").score(items=[three[:1] + three[2:]]),
    Model({MODEL!r}).encode(type="sequence", items={LONG!r}, params=mean),
    Model({DNA_MODEL!r}).encode(type="sequence", items={DNA!r}),
    BioLMApi({DNA_MODEL!r}, rate_limit="1000/second").score(items=[[{{"sequence": {DNA!r}}}]]),
    Model({DNA_MODEL!r}).generate(type="prompt", items={DNA!r}, params={SEEDED!r}),
    Model({PROTEIN_MODEL!r}).generate(type="context", items={CONTEXTS!r}, params={SAMPLED!r}),
])
"""
COMMAND = f"{SCHEMAS_FROM}\nfrom biolm.cli.entry import cli\ncli()"


@pytest.fixture(scope="module")
def sdk(server: Server, tmp_path_factory: pytest.TempPathFactory) -> ForeignClient:
    settings = {
        "BIOLM_TOKEN": "any",
        "BIOLM_THREADS": "2",
        "SCHEMAS_FROM": f"{server.url}/api/v3",
    }
    python = foreign("biolm-sdk-1.7.0")
    return ForeignClient(python, settings, tmp_path_factory.mktemp("biolm"))


@pytest.fixture(scope="module", params=["v3", "v1"])
def version(request: pytest.FixtureRequest) -> str:
    named: str = request.param
    return named


@pytest.fixture(scope="module")
def answered(sdk: ForeignClient, server: Server, version: str) -> dict[str, Any]:
    url = {"BIOLM_BASE_API_URL": f"{server.url}/api/{version}"}
    return replace(sdk, settings={**sdk.settings, **url}).run(PROGRAM)


def mean_of(result: dict[str, Any]) -> list[float]:
    (layer,) = result["embeddings"]
    numbers: list[float] = layer["embedding"]
    return numbers


@pytest.mark.parametrize("way", [0, 1], ids=["in two lists", "by the schema"])
def test_twelve_items(answered: dict[str, Any], esm2: Esm2, version: str, way: int) -> None:
    results = answered["results"][way]
    assert [result["sequence_index"] for result in results] == [*range(8), *range(4)]
    for result, wanted in zip(results, esm2.encode(TWELVE, include=["mean"]), strict=True):
        assert wanted.value is not None
        np.testing.assert_allclose(mean_of(result), wanted.value.mean[6], rtol=1e-4, atol=1e-5)
    assert list(results[0])[:2] == ["sequence_index", "embeddings"]
    assert len(results[0]) == (8 if version == "v1" else 2)


def test_what_was_sent(answered: dict[str, Any], version: str) -> None:
    posts = [entry for entry in answered["sent"] if entry[0] == "POST"]
    paths = {path for _, path, _, _ in posts}
    assert ACTION_PATHS[version] in paths
    assert [path.endswith("/") for path in paths] == [version == "v3"] * 7
    assert sorted(items for _, _, _, items in posts[:4]) == [4, 4, 8, 8]
    assert ["POST", ACTION_PATHS[version], "gzip", 1] in posts


def test_one_bad_item_of_three_costs_only_itself(answered: dict[str, Any], version: str) -> None:
    good, bad, also_good = answered["results"][2]
    assert len(mean_of(good)) == len(mean_of(also_good)) == 32
    assert bad["status_code"] == (422 if version == "v1" else 400)
    if version == "v1":
        (error,) = bad["error"]
        assert error["loc"] == ["body", "items", 0, "sequence"]
    else:
        assert list(bad["error"]) == ["items__0__sequence"]


def test_predict_and_score(answered: dict[str, Any], esm2: Esm2) -> None:
    predicted = answered["results"][3]
    assert list(predicted) == ["logits", "sequence_tokens", "vocab_tokens"]
    assert predicted["sequence_tokens"] == ["M", "<mask>", "V"]
    scored = esm2.score(["MSILV", "MKT"], mode="one_pass")
    for result, wanted in zip(answered["results"][4], scored, strict=True):
        assert wanted.value is not None
        assert result == {"log_prob": pytest.approx(wanted.value.sum_log_likelihood, rel=1e-5)}


def test_a_long_body(answered: dict[str, Any], esm2: Esm2) -> None:
    (wanted,) = esm2.encode([LONG], include=["mean"])
    assert wanted.value is not None
    result = answered["results"][5]
    np.testing.assert_allclose(mean_of(result), wanted.value.mean[6], rtol=1e-4, atol=1e-5)


def test_dna(answered: dict[str, Any], version: str, evo2: Evo2) -> None:
    encoded, scored = answered["results"][6:8]
    (layer,) = encoded["embeddings"]
    assert list(layer) == (["layer", "mean", "last"] if version == "v1" else ["layer", "mean"])
    (wanted,) = evo2.forward([DNA], layers=["blocks.23.mlp.l3"], pooling="mean")
    assert wanted.value is not None
    numbers = wanted.value.layers["blocks.23.mlp.l3"]
    np.testing.assert_allclose(layer["mean"], numbers, rtol=1e-4, atol=1e-5)
    (score,) = evo2.score([DNA])
    assert score.value is not None
    assert scored == {"log_prob": pytest.approx(score.value.sum_log_likelihood, rel=1e-5)}


def test_dna_goes_on(answered: dict[str, Any], evo2: Evo2) -> None:
    sampling = primase.Sampling(top_k=4, seed=2**64 - 1)
    (wanted,) = evo2.generate([DNA], num_tokens=9, sampling=sampling)
    assert wanted.value is not None
    assert answered["results"][8] == {"generated": wanted.value.text}


def test_proteins(answered: dict[str, Any], progen2: ProGen2) -> None:
    sampling = primase.Sampling(0.8, top_p=0.9, seed=7)
    for context, samples in zip(CONTEXTS, answered["results"][9], strict=True):
        wanted = progen2.generate(
            context, max_new_residues=39 - len(context), num_samples=3, sampling=sampling
        )
        for sample, result in zip(samples, wanted, strict=True):
            assert result.value is not None
            assert sample["sequence"] == result.value.sequence
            length = len(sample["sequence"])
            assert sample["ll_mean"] == pytest.approx(sample["ll_sum"] / length)


def test_the_hub_commands(sdk: ForeignClient, server: Server) -> None:
    connected = sdk.command(COMMAND, "hub", "set", server.url)
    assert "Connected to biolm-hub" in connected
    assert "24 (72 routes)" in connected
    assert "Hub is reachable" in sdk.command(COMMAND, "hub", "status")
    listed = sdk.command(COMMAND, "model", "list")
    assert all(word in listed for word in (MODEL, "encode", "log_prob", "predict", "score"))

    (sdk.home / "in.json").write_text(json.dumps([{"sequence": s} for s in TWELVE]))
    sdk.command(COMMAND, "model", "run", MODEL, "encode", "-i", "in.json", "-o", "out.json")
    results = json.loads((sdk.home / "out.json").read_text())
    assert len(results) == 12
    assert list(results[0])[3] == "residue_embeddings"
