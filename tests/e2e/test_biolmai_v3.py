"""`biolmai` 0.4.0, which speaks version 3 and asks for the schema of each action first."""

import json
from collections.abc import Iterator
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
from tests.e2e.proteins import DOCUMENTED, DOCUMENTED_MASKED
from tests.e2e.server import Server, serving

MODEL = "esm2-650m"
ENCODE = f"/api/v3/{MODEL}/encode/"
TWELVE = ["MSILV" + "KTAYIAKQRQIS"[:end] for end in range(12)]
DNA_MODEL = "evo2-1b-base"
DNA = ["ACTGACTGTTAGC", "GATTACA"]
GREEDY = {"max_new_tokens": 9, "temperature": 0.0}
PROTEIN_MODEL = "progen2-oas"
CONTEXTS = ["EVQ", "QVQLVQSG"]
SAMPLED = {"temperature": 0.7, "top_p": 0.6, "num_samples": 2, "max_length": 60, "seed": 7}
NOT_A_RESIDUE = (
    "Residues can only be represented with 'ACDEFGHIKLMNPQRSTVWY' characters; "
    "found 'J' at position 1, counted from 0"
)
BAD_OF_THREE = ["MSILV", "MSJLV", "MKT"]
REFUSED = (
    "Residues can only be represented with 'ACDEFGHIKLMNPQRSTVWYBXZUO-' characters; "
    "found 'J' at position 2, counted from 0"
)

PROGRAM = f"""
from biolmai import biolm
from biolmai.client import BioLMApi
from biolmai.models import Model

model = Model({MODEL!r})
mean = {{"include": ["mean"]}}
generate = {{"entity": {PROTEIN_MODEL!r}, "action": "generate"}}
answer([
    model.encode(type="sequence", items={TWELVE!r}, params=mean),
    model.encode(type="sequence", items={DOCUMENTED!r}, params={{"include": ["mean", "logits"]}}),
    model.encode(type="sequence", items={BAD_OF_THREE!r}, params=mean),
    biolm(entity={MODEL!r}, action="predict", type="sequence", items={DOCUMENTED_MASKED!r}),
    BioLMApi({MODEL!r}).score(items=[{{"sequence": "MSILV"}}, {{"sequence": "MKT"}}]),
    Model({DNA_MODEL!r}).encode(
        type="sequence", items={DNA!r}, params={{"embedding_layers": [-1, 0], "include": ["last"]}}
    ),
    biolm(entity={DNA_MODEL!r}, action="predict", type="sequence", items={DNA[0]!r}),
    biolm(entity={DNA_MODEL!r}, action="generate", type="prompt", items={DNA!r}, params={GREEDY!r}),
    *[
        biolm(**generate, type="context", items=items, params=params)
        for items, params in (
            ("EVQ", {SAMPLED!r}),
            ({CONTEXTS!r}, {SAMPLED!r}),
            (["EVQ", "EJ"], {SAMPLED!r}),
            ("EVQ", {{**{SAMPLED!r}, "temperature": 0}}),
        )
    ],
])
"""
ENCODE_ONE = f"""
from biolmai.models import Model

answer(Model({MODEL!r}).encode(type="sequence", items="MSILV"))
"""
COMMAND = "from biolmai.cli_entry import cli; cli()"


@pytest.fixture(scope="module")
def biolmai(server: Server, tmp_path_factory: pytest.TempPathFactory) -> ForeignClient:
    python = foreign("biolmai-0.4.0")
    return ForeignClient(python, settings_for(server), tmp_path_factory.mktemp("biolmai"))


@pytest.fixture(scope="module")
def answered(biolmai: ForeignClient) -> dict[str, Any]:
    return biolmai.run(PROGRAM)


def settings_for(server: Server, version: str = "v3", token: str = "any") -> dict[str, str]:
    return {
        "BIOLMAI_BASE_API_URL": f"{server.url}/api/{version}",
        "BIOLMAI_BASE_DOMAIN": server.url,
        "BIOLMAI_TOKEN": token,
        "BIOLMAI_THREADS": "2",
    }


def mean_of(result: dict[str, Any]) -> list[float]:
    (layer,) = result["embeddings"]
    numbers: list[float] = layer["embedding"]
    return numbers


def test_twelve_items_go_in_two_requests(answered: dict[str, Any], esm2: Esm2) -> None:
    results = answered["results"][0]
    assert [result["sequence_index"] for result in results] == [*range(8), *range(4)]
    for result, wanted in zip(results, esm2.encode(TWELVE, include=["mean"]), strict=True):
        assert result["embeddings"][0]["layer"] == 6
        assert wanted.value is not None
        np.testing.assert_allclose(mean_of(result), wanted.value.mean[6], rtol=1e-4, atol=1e-5)
    posts = [items for method, path, _, items in answered["sent"][:3] if method == "POST"]
    assert sorted(posts) == [4, 8]


def test_the_schema_is_asked_for_once_an_action(answered: dict[str, Any]) -> None:
    asked = [path for method, path, _, _ in answered["sent"] if method == "GET"]
    names = [f"{MODEL}/{action}" for action in ("encode", "predict", "score")]
    names += [f"{DNA_MODEL}/{action}" for action in ("encode", "predict", "generate")]
    names += [f"{PROTEIN_MODEL}/generate"]
    assert asked == [f"/api/v3/schema/{name}/" for name in names]


def test_a_long_body_comes_in_gzip(answered: dict[str, Any], esm2: Esm2) -> None:
    assert ["POST", ENCODE, "gzip", 1] in answered["sent"]
    result = answered["results"][1]
    assert list(result) == ["sequence_index", "embeddings", "logits", "vocab_tokens"]
    assert np.shape(result["logits"]) == (251, 20)
    (wanted,) = esm2.encode([DOCUMENTED], include=["mean"])
    assert wanted.value is not None
    np.testing.assert_allclose(mean_of(result), wanted.value.mean[6], rtol=1e-4, atol=1e-5)


def test_one_bad_item_of_three_costs_only_itself(answered: dict[str, Any]) -> None:
    good, bad, also_good = answered["results"][2]
    assert bad == {"error": {"items__0__sequence": [REFUSED]}, "status_code": 400}
    assert mean_of(good) == pytest.approx(mean_of(answered["results"][0][0]), rel=1e-4, abs=1e-5)
    assert len(mean_of(also_good)) == 32


def test_predict(answered: dict[str, Any]) -> None:
    result = answered["results"][3]
    assert list(result) == ["logits", "sequence_tokens", "vocab_tokens"]
    assert (len(result["logits"]), result["sequence_tokens"][18]) == (251, "<mask>")


def test_score(answered: dict[str, Any], esm2: Esm2) -> None:
    for result, wanted in zip(
        answered["results"][4], esm2.score(["MSILV", "MKT"], mode="one_pass"), strict=True
    ):
        assert wanted.value is not None
        assert result == {"log_prob": pytest.approx(wanted.value.sum_log_likelihood, rel=1e-5)}


def test_dna(answered: dict[str, Any], evo2: Evo2) -> None:
    encoded, scored = answered["results"][5:7]
    names = ("blocks.24.mlp.l3", "blocks.0.mlp.l3")
    wanted = evo2.forward(DNA, layers=names, pooling="last")
    # One sequence a request, which the client knows from the schema.
    for result, item in zip(encoded, wanted, strict=True):
        assert [layer["layer"] for layer in result["embeddings"]] == [24, 0]
        assert item.value is not None
        for layer, name in zip(result["embeddings"], names, strict=True):
            numbers = item.value.layers[name]
            np.testing.assert_allclose(layer["last"], numbers, rtol=1e-4, atol=1e-5)
    (score,) = evo2.score(DNA[:1])
    assert score.value is not None
    assert scored == {"log_prob": pytest.approx(score.value.sum_log_likelihood, rel=1e-5)}


def test_dna_goes_on(answered: dict[str, Any], evo2: Evo2) -> None:
    results = answered["results"][7]
    wanted = evo2.generate(DNA, num_tokens=9, sampling=primase.Sampling(temperature=0))
    for result, item in zip(results, wanted, strict=True):
        assert item.value is not None
        assert result == {"generated": item.value.text}
        assert len(item.value.text) == 9


def test_proteins(answered: dict[str, Any], progen2: ProGen2) -> None:
    one, several, with_a_bad_one, greedy = answered["results"][8:12]
    # One context gives a list of samples, two give a list of such lists, each of a request.
    assert several[0] == one
    wanted = [
        progen2.generate(
            context,
            max_new_residues=59 - len(context),
            num_samples=2,
            likelihood=True,
            sampling=primase.Sampling(0.7, top_p=0.6, seed=7),
        )
        for context in CONTEXTS
    ]
    for samples, results in zip(several, wanted, strict=True):
        for sample, result in zip(samples, results, strict=True):
            assert result.value is not None
            assert result.value.likelihood is not None
            likelihood = result.value.likelihood
            assert list(sample) == ["sequence", "ll_sum", "ll_mean"]
            assert sample["sequence"] == result.value.sequence
            assert sample["ll_sum"] == pytest.approx(likelihood.sum_log_likelihood, rel=1e-5)
            assert sample["ll_mean"] == pytest.approx(likelihood.mean_log_likelihood, rel=1e-5)
    good, bad = with_a_bad_one
    assert [sample["sequence"] for sample in good] == [sample["sequence"] for sample in one]
    assert bad == {"error": {"items__0__context": [NOT_A_RESIDUE]}, "status_code": 400}
    assert len(greedy) == 2
    assert greedy[0] == greedy[1]


def test_status(biolmai: ForeignClient, server: Server) -> None:
    said = biolmai.command(COMMAND, "status")
    assert f"{server.url}/api/v3" in said
    assert "{'status': 'ok'}" in said


def test_model_list_and_show(biolmai: ForeignClient) -> None:
    listed = biolmai.command(COMMAND, "model", "list")
    assert all(slug in listed for slug in ("esm2-8m", "esm2-35m", "esm2-150m", "esm2-3b", MODEL))
    shown = biolmai.command(COMMAND, "model", "show", MODEL, "--include-schemas")
    assert "ESM-2 650M" in shown
    assert '"maxItems": 8' in shown


def test_model_run(biolmai: ForeignClient, answered: dict[str, Any]) -> None:
    (biolmai.home / "in.json").write_text(json.dumps([{"sequence": s} for s in TWELVE]))
    arguments = ("model", "run", MODEL, "encode", "-i", "in.json", "-o", "out.json")
    biolmai.command(COMMAND, *arguments)
    results = json.loads((biolmai.home / "out.json").read_text())
    assert len(results) == 12
    for result, wanted in zip(results, answered["results"][0], strict=True):
        assert mean_of(result) == pytest.approx(mean_of(wanted), rel=1e-4, abs=1e-5)


def test_version_2_with_the_same_client(biolmai: ForeignClient, server: Server) -> None:
    answered = replace(biolmai, settings=settings_for(server, "v2")).run(ENCODE_ONE)
    assert list(answered["results"]) == ["sequence_index", "mean_representations"]
    assert answered["sent"][-1] == ["POST", f"/api/v2/{MODEL}/encode/", None, 1]


@pytest.fixture(scope="module")
def guarded() -> Iterator[Server]:
    with serving("--demo", "--withdraw-s=0", "--rest-token=s3cret") as running:
        yield running


def test_the_right_token(biolmai: ForeignClient, guarded: Server) -> None:
    client = replace(biolmai, settings=settings_for(guarded, token="s3cret"))
    assert len(mean_of(client.run(ENCODE_ONE)["results"])) == 32
    assert "{'status': 'ok'}" in client.command(COMMAND, "status")


def test_a_wrong_token(biolmai: ForeignClient, guarded: Server) -> None:
    client = replace(biolmai, settings=settings_for(guarded, token="wrong"))
    refused = client.run(ENCODE_ONE)["results"]
    assert (refused["status_code"], refused["error"]) == (401, "Invalid token.")
    assert "Invalid token." in client.command(COMMAND, "status")
