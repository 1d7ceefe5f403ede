"""ProGen2's generate in the three generations of the BioLM API."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from primase.progen2.v1 import progen2_service_pb2 as pb
from primase.type.v1 import generation_pb2
from tests.gateway import scripted
from tests.gateway.live import Live
from tests.gateway.scripted import Script
from tests.gateway.scripted_progen2 import Protein, log_likelihood, model

DATA = Path(__file__).parent / "data"
DOCUMENTED = json.loads((DATA / "biolm_progen2_documented.json").read_text())
VERSIONS = ("v1", "v2", "v3")
BATCH_INVARIANT = generation_pb2.DETERMINISM_BATCH_INVARIANT
MOST_SEED = 2**64 - 1

each_version = pytest.mark.parametrize("version", VERSIONS)


def ask(
    client: httpx.Client, version: str, body: object, slug: str = "progen2-oas", end: str = ""
) -> httpx.Response:
    return client.post(f"/api/{version}/{slug}/generate{end}", json=body)


def generate(
    client: httpx.Client, version: str, context: str = "EVQ", **params: Any
) -> list[dict[str, Any]]:
    body = {"items": [{"context": context}]} | ({"params": params} if params else {})
    answer = ask(client, version, body)
    assert answer.status_code == 200, answer.text
    assert list(answer.json()) == ["results"]
    samples: list[dict[str, Any]]
    (samples,) = answer.json()["results"]
    assert all(list(sample) == ["sequence", "ll_sum", "ll_mean"] for sample in samples)
    return samples


def asked(script: Script) -> pb.GenerateRequest:
    (request,) = [r for r in script.requests if isinstance(r, pb.GenerateRequest)]
    return request


@pytest.mark.parametrize("row", DOCUMENTED, ids=lambda row: row["path"].rpartition("/")[2])
@pytest.mark.parametrize("end", ["", "/"])
def test_what_is_documented(
    progen2: httpx.Client, progen2_script: Script, row: dict[str, Any], end: str
) -> None:
    slug = row["endpoint"].split("/")[3]
    progen2_script.models = {slug: model(slug)}
    wanted = row["response"]["results"][0]
    progen2_script.proteins = {n: Protein(*sample.values()) for n, sample in enumerate(wanted)}
    answer = progen2.post(row["endpoint"].rstrip("/") + end, json=row["request"])
    assert answer.text == json.dumps(row["response"], separators=(",", ":"))

    params = row["request"]["params"]
    (item,) = row["request"]["items"]
    assert asked(progen2_script) == pb.GenerateRequest(
        model=slug,
        items=[pb.GenerateItem(**item)],
        options=pb.GenerateOptions(
            max_new_residues=params["max_length"] - 1 - len(item["context"]),
            sampling=generation_pb2.Sampling(
                temperature=params["temperature"], top_p=params["top_p"]
            ),
            num_samples=params["num_samples"],
            include_likelihood=True,
        ),
    )
    # The longest of what was published is as long as was asked for.
    assert max(len(sample["sequence"]) for sample in wanted) <= params["max_length"] - 1


@each_version
@pytest.mark.parametrize("slug", ["progen2-oas", "ProGen2-OAS"])
def test_by_default(progen2: httpx.Client, progen2_script: Script, version: str, slug: str) -> None:
    answer = ask(progen2, version, {"items": [{"context": "EVQ"}]}, slug)
    (sample,) = answer.json()["results"][0]
    assert len(sample["sequence"]) == 127
    assert sample["ll_sum"] == log_likelihood(sample["sequence"])
    assert sample["ll_mean"] == sample["ll_sum"] / 127
    sampling = generation_pb2.Sampling(temperature=0.8, top_p=0.9)
    options = asked(progen2_script).options
    assert (options.sampling, options.num_samples) == (sampling, 1)


@each_version
@pytest.mark.parametrize(
    ("context", "max_length", "num_residues"),
    [("EVQ", 12, 11), ("E" * 10, 12, 11), ("E" * 11, 12, 12), ("E" * 512, 12, 513)],
)
def test_the_length_counts_start_and_context(
    progen2: httpx.Client, version: str, context: str, max_length: int, num_residues: int
) -> None:
    (sample,) = generate(progen2, version, context, max_length=max_length)
    assert sample["sequence"].startswith(context)
    assert len(sample["sequence"]) == num_residues


@pytest.mark.parametrize(
    ("params", "sampling"),
    [
        ({"temperature": 8}, {"temperature": 8}),
        ({"temperature": 1e-30}, {"temperature": 1e-30}),
        ({"top_p": 0}, {"temperature": 0, "determinism": BATCH_INVARIANT}),
        ({"top_p": 1e-300}, {"top_p": 1e-37}),
        ({"top_p": 1}, {"top_p": None}),
        ({"seed": -1}, {"seed": MOST_SEED, "determinism": BATCH_INVARIANT}),
        ({"seed": None}, {}),
    ],
)
@each_version
def test_how_residues_are_drawn(
    progen2: httpx.Client,
    progen2_script: Script,
    version: str,
    params: dict[str, Any],
    sampling: dict[str, Any],
) -> None:
    generate(progen2, version, **params)
    if params.get("top_p") == 0:
        sampling = sampling | {"top_p": None}
    wanted = generation_pb2.Sampling(**({"temperature": 0.8, "top_p": 0.9} | sampling))
    assert asked(progen2_script).options.sampling == wanted


@pytest.mark.parametrize("temperature", [0, 0.0])
def test_no_chance_at_all(
    progen2: httpx.Client, progen2_script: Script, temperature: float
) -> None:
    (hosted,) = generate(progen2, "v3", temperature=temperature)
    assert asked(progen2_script).options.sampling == generation_pb2.Sampling(
        temperature=0, top_p=0.9, determinism=BATCH_INVARIANT
    )
    assert generate(progen2, "v2", temperature=temperature) == [hosted]
    assert generate(progen2, "v1", top_p=temperature) == [hosted]
    refused = ask(
        progen2, "v1", {"items": [{"context": "EVQ"}], "params": {"temperature": temperature}}
    )
    assert refused.status_code == 422
    (entry,) = refused.json()["detail"]
    assert (entry["type"], entry["msg"]) == ("greater_than", "Input should be greater than 0")


@each_version
def test_a_seed_gives_the_same_again(progen2: httpx.Client, version: str) -> None:
    first, again, other = (
        generate(progen2, version, seed=seed, num_samples=3) for seed in (0, 0, 1)
    )
    assert first == again != other
    assert len({sample["sequence"] for sample in first}) == 3


def test_a_protein_from_nothing(progen2: httpx.Client, progen2_script: Script) -> None:
    (sample,) = generate(progen2, "v2", "", max_length=20)
    assert len(sample["sequence"]) == 19
    assert asked(progen2_script).items[0].context == ""

    progen2_script.proteins = {0: Protein("", 0, 0)}
    assert generate(progen2, "v2", "") == [{"sequence": "", "ll_sum": 0.0, "ll_mean": 0.0}]


@each_version
@pytest.mark.parametrize("fault", ["short", "not_finite"])
def test_answers_that_make_no_sense(
    progen2: httpx.Client, progen2_script: Script, version: str, fault: str
) -> None:
    setattr(progen2_script, fault, True)
    assert ask(progen2, version, {"items": [{"context": "EVQ"}]}).status_code == 500


def test_a_client_that_leaves_ends_the_call(progen2_script: Script, live: Live) -> None:
    progen2_script.hang = True

    body = {"items": [{"context": "EVQ"}]}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{live.url}/api/v2/progen2-oas/generate/", json=body, timeout=0.2)
    assert progen2_script.cancelled.wait(20)


@each_version
@pytest.mark.parametrize("end", ["", "/"])
def test_the_schema(progen2: httpx.Client, version: str, end: str) -> None:
    schema = progen2.get(f"/api/{version}/schema/ProGen2-oas/generate{end}").json()
    assert schema["properties"]["items"]["maxItems"] == 1
    assert schema["throttle_rate"] == "1000/second"
    assert schema["required"] == ["items"]
    assert not {"error", "detail", "description"} & set(schema)
    definitions = schema["$defs"]
    (item,) = (entry for name, entry in definitions.items() if name.endswith("Item"))
    (params,) = (entry for name, entry in definitions.items() if name.endswith("Params"))
    assert item["required"] == ["context"]
    limits = (item["properties"]["context"].get(key) for key in ("minLength", "maxLength"))
    assert tuple(limits) == (0 if version == "v2" else 1, 512)
    defaults = {name: field.get("default") for name, field in params["properties"].items()}
    assert defaults == {
        "temperature": 0.8,
        "top_p": 0.9,
        "num_samples": 1,
        "max_length": 128,
        "seed": None,
    }


@pytest.mark.parametrize("action", ["encode", "predict", "score", "log_prob"])
@each_version
def test_actions_that_there_are_not(progen2: httpx.Client, version: str, action: str) -> None:
    body = {"items": [{"sequence": "MSILV"}]}
    answer = progen2.post(f"/api/{version}/progen2-oas/{action}/", json=body)
    assert answer.status_code == 404
    assert progen2.get(f"/api/{version}/schema/progen2-oas/{action}/").status_code == 404


def test_the_catalogue(progen2: httpx.Client, progen2_script: Script) -> None:
    progen2_script.models["progen2-bfd90"] = model("progen2-bfd90", variant="progen2-BFD90")
    progen2_script.models["esm2-8m"] = scripted.model()
    entries = progen2.get("/api/ui/community-api-models/").json()
    names = ["esm2-8m", "progen2-bfd90", "progen2-oas"]
    assert [entry["model_slug"] for entry in entries] == names
    assert entries[2]["model_name"] == "ProGen2 OAS"
    assert entries[1] == {
        "model_slug": "progen2-bfd90",
        "model_name": "ProGen2 BFD90",
        "description": "ProGen2 protein language model progen2-BFD90, 764,803,616 parameters.",
        "tags": ["progen2", "protein", "language model"],
        "predictor": False,
        "encoder": False,
        "generator": True,
        "classifier": False,
        "similarity": False,
    }
    assert progen2.get("/").json()["supported_models"] == names
