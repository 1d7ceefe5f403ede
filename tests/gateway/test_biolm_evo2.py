"""Evo 2 in the three generations of the BioLM API."""

import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from primase.evo2.v1 import evo2_service_pb2 as pb
from primase.models.v1 import model_service_pb2 as models_pb
from tests.gateway import scripted, scripted_evo2
from tests.gateway.scripted import Script, status
from tests.gateway.scripted_evo2 import log_likelihood, values

TABLE = json.loads((Path(__file__).parent / "data" / "biolm_evo2_refusals.json").read_text())
VERSIONS = ("v1", "v2", "v3")
ACTIONS = {
    "v1": ["encode", "generate", "log_prob", "score"],
    "v2": ["encode", "generate", "predict"],
    "v3": ["encode", "generate", "predict", "log_prob", "score"],
}
SCORES = [(v, action) for v, actions in ACTIONS.items() for action in actions[2:]]
ROWS = [
    pytest.param(version, row, id=f"{version} {row['case']}")
    for row in TABLE
    for version in VERSIONS
    if version in row
]
LISTED = ("type", "loc", "msg")
SEQUENCE = "ACGTACGT"
TYPED = {"content-type": "application/json"}


def path_of(version: str, action: str = "encode") -> str:
    return f"/api/{version}/evo2-7b/{action}"


def encode(client: httpx.Client, version: str, **params: Any) -> list[dict[str, Any]]:
    body = {"items": [{"sequence": SEQUENCE}]} | ({"params": params} if params else {})
    answer = client.post(path_of(version), json=body)
    assert answer.status_code == 200, answer.text
    document = answer.json()
    assert list(document) == ["results"]
    (result,) = document["results"]
    assert list(result) == ["embeddings"]
    embeddings: list[dict[str, Any]] = result["embeddings"]
    return embeddings


def mean(layer: int) -> list[float]:
    found: list[float] = values(SEQUENCE, f"blocks.{layer}.mlp.l3").mean(axis=0).tolist()
    return found


def last(layer: int) -> list[float]:
    found: list[float] = values(SEQUENCE, f"blocks.{layer}.mlp.l3")[-1].tolist()
    return found


def same(given: list[float], wanted: list[float]) -> bool:
    return bool((np.array(given, np.float32) == np.array(wanted, np.float32)).all())


@pytest.mark.parametrize("version", VERSIONS)
def test_encode_by_default(evo2: httpx.Client, evo2_script: Script, version: str) -> None:
    (layer,) = encode(evo2, version)
    assert list(layer) == (["layer", "mean", "last"] if version == "v1" else ["layer", "mean"])
    assert layer["layer"] == 3
    assert same(layer["mean"], mean(3))
    assert layer.get("last") is None
    (request,) = [r for r in evo2_script.requests if isinstance(r, pb.StreamForwardRequest)]
    assert list(request.options.layers) == ["blocks.3.mlp.l3"]
    assert request.options.pooling == pb.POOLING_MEAN


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("include", [["last", "mean"], ["last"], ["mean", "mean"], []])
def test_layers_come_as_asked_for(evo2: httpx.Client, version: str, include: list[str]) -> None:
    layers = encode(evo2, version, embedding_layers=[-1, 0, -5, 4], include=include, mlp_layer=3)
    assert [layer["layer"] for layer in layers] == [4, 0, 0, 4]
    for layer in layers:
        for kind, wanted in (("mean", mean), ("last", last)):
            if kind in include:
                assert same(layer[kind], wanted(layer["layer"]))
            elif version == "v1":
                assert layer[kind] is None
            else:
                assert kind not in layer


@pytest.mark.parametrize("version", VERSIONS)
def test_no_layers(evo2: httpx.Client, version: str) -> None:
    assert encode(evo2, version, embedding_layers=[]) == []


@pytest.mark.parametrize(("version", "action"), SCORES)
@pytest.mark.parametrize("end", ["", "/"])
def test_scores(
    evo2: httpx.Client, evo2_script: Script, version: str, action: str, end: str
) -> None:
    body = {"items": [{"sequence": SEQUENCE}]}
    answer = evo2.post(path_of(version, action) + end, json=body, follow_redirects=False)
    assert answer.json() == {"results": [{"log_prob": log_likelihood(SEQUENCE)}]}
    request = evo2_script.requests[-1]
    assert request.strand == pb.STRAND_FORWARD
    assert not request.prepend_bos


def test_a_base_alone_has_nothing_to_add_up(evo2: httpx.Client) -> None:
    answer = evo2.post(path_of("v3", "predict"), json={"items": [{"sequence": "A"}]})
    assert answer.json() == {"results": [{"log_prob": 0.0}]}


@pytest.mark.parametrize("version", ["v2", "v3"])
def test_params_of_a_score_are_ignored(evo2: httpx.Client, version: str) -> None:
    body = {"items": [{"sequence": "A"}], "params": {"include": ["mean"]}}
    assert evo2.post(path_of(version, "predict"), json=body).status_code == 200


@pytest.mark.parametrize(("version", "row"), ROWS)
def test_the_table(
    evo2: httpx.Client, evo2_script: Script, version: str, row: dict[str, Any]
) -> None:
    wanted = row["v2"] if row[version] == "as v2" else row[version]
    answer = evo2.post(path_of(version), content=json.dumps(row["body"]), headers=TYPED)
    assert answer.status_code == wanted["status"], answer.text
    document = answer.json()
    if isinstance(document.get("detail"), list):
        document = {"detail": [{key: e[key] for key in LISTED} for e in document["detail"]]}
    assert document == wanted["body"]
    assert not [r for r in evo2_script.requests if hasattr(r, "options")]


@pytest.mark.parametrize(
    ("version", "action"),
    [("v1", "predict"), ("v1", "embed"), ("v2", "log_prob"), ("v2", "score"), ("v3", "embed")],
)
def test_actions_that_there_are_not(evo2: httpx.Client, version: str, action: str) -> None:
    answer = evo2.post(path_of(version, action), json={"items": [{"sequence": "A"}]})
    assert answer.status_code == 404
    assert evo2.get(f"/api/{version}/schema/evo2-7b/{action}/").status_code == 404


def test_an_item_that_the_service_refuses(evo2: httpx.Client, evo2_script: Script) -> None:
    evo2_script.refuse_items[0] = status("SEQUENCE_TOO_LONG", "long", {"sequence": "long"})
    answer = evo2.post(path_of("v3"), json={"items": [{"sequence": "A"}]})
    assert (answer.status_code, answer.json()) == (400, {"error": {"items__0__sequence": ["long"]}})


@pytest.mark.parametrize("version", VERSIONS)
def test_numbers_that_json_cannot_write(
    evo2: httpx.Client, evo2_script: Script, version: str
) -> None:
    evo2_script.not_finite = True
    assert evo2.post(path_of(version), json={"items": [{"sequence": "A"}]}).status_code == 500


@pytest.mark.parametrize(
    ("version", "action"), [(v, action) for v, actions in ACTIONS.items() for action in actions]
)
def test_schemas(evo2: httpx.Client, version: str, action: str) -> None:
    schema = evo2.get(f"/api/{version}/schema/EVO2-7b/{action}/").json()
    assert schema["properties"]["items"]["maxItems"] == 1
    assert schema["throttle_rate"] == "1000/second"
    assert not {"error", "detail", "description"} & set(schema)


def test_the_catalogue(evo2: httpx.Client, evo2_script: Script) -> None:
    evo2_script.models["evo2-1b-base"] = scripted_evo2.model(
        "evo2-1b-base",
        variant="evo2_1b_base",
        num_parameters=0,
        weights=models_pb.Weights(source=models_pb.WEIGHTS_SOURCE_RANDOM, trained=False),
    )
    evo2_script.models["esm2-8m"] = scripted.model()
    entries = evo2.get("/api/ui/community-api-models/").json()
    assert [entry["model_slug"] for entry in entries] == ["esm2-8m", "evo2-1b-base", "evo2-7b"]
    assert entries[1]["model_name"] == "Evo 2 1B base"
    assert entries[2] == {
        "model_slug": "evo2-7b",
        "model_name": "Evo 2 7B",
        "description": "Evo 2 DNA language model evo2_7b, 6,481,711,104 parameters.",
        "tags": ["evo2", "dna", "language model"],
        "predictor": True,
        "encoder": True,
        "generator": True,
        "classifier": False,
        "similarity": False,
    }
