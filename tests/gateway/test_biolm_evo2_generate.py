"""Evo 2's generate in the three generations of the BioLM API."""

from typing import Any

import httpx
import pytest

from primase.evo2.v1 import evo2_service_pb2 as pb
from primase.type.v1 import generation_pb2
from tests.gateway.scripted import Script, status

VERSIONS = ("v1", "v2", "v3")
PROMPT = "ACTGACTG"
BATCH_INVARIANT = generation_pb2.DETERMINISM_BATCH_INVARIANT
NOT_BASES = "Nucleotides can only be represented with 'ACGT' characters"
MOST_SEED = 2**64 - 1


def ask(client: httpx.Client, version: str, body: object, end: str = "") -> httpx.Response:
    return client.post(f"/api/{version}/evo2-7b/generate{end}", json=body)


def generate(client: httpx.Client, version: str, **params: Any) -> str:
    body = {"items": [{"prompt": PROMPT}]} | ({"params": params} if params else {})
    answer = ask(client, version, body)
    assert answer.status_code == 200, answer.text
    document = answer.json()
    assert list(document) == ["results"]
    (result,) = document["results"]
    assert list(result) == ["generated"]
    generated: str = result["generated"]
    return generated


def asked(script: Script) -> pb.StreamGenerateRequest:
    (request,) = [r for r in script.requests if isinstance(r, pb.StreamGenerateRequest)]
    return request


@pytest.mark.parametrize("version", VERSIONS)
def test_by_default(evo2: httpx.Client, evo2_script: Script, version: str) -> None:
    generated = generate(evo2, version)
    assert len(generated) == 100
    assert asked(evo2_script) == pb.StreamGenerateRequest(
        model="evo2-7b",
        items=[pb.GenerateItem(prompt=PROMPT)],
        options=pb.GenerateOptions(
            num_tokens=100,
            sampling=generation_pb2.Sampling(temperature=1, top_k=4),
            report=generation_pb2.TokenReport(),
        ),
    )


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("end", ["", "/"])
def test_params_may_be_left_out_but_not_by_half(evo2: httpx.Client, version: str, end: str) -> None:
    body = {"items": [{"prompt": "A"}], "params": {"max_new_tokens": 3}}
    answer = ask(evo2, version, body, end)
    assert len(answer.json()["results"][0]["generated"]) == 3


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("params", "sampling"),
    [
        ({"temperature": 0}, {"temperature": 0, "determinism": BATCH_INVARIANT}),
        ({"temperature": 2}, {"temperature": 2}),
        ({"top_k": 1}, {"top_k": 1, "determinism": BATCH_INVARIANT}),
        ({"top_k": 100_000}, {"top_k": 512}),
        ({"top_p": 0.5}, {"top_p": 0.5}),
        ({"top_p": 0}, {}),
        ({"top_p": 1}, {}),
        ({"seed": -1}, {"seed": MOST_SEED, "determinism": BATCH_INVARIANT}),
        ({"seed": None}, {}),
    ],
)
def test_how_tokens_are_drawn(
    evo2: httpx.Client,
    evo2_script: Script,
    version: str,
    params: dict[str, Any],
    sampling: dict[str, Any],
) -> None:
    generate(evo2, version, **params)
    wanted = generation_pb2.Sampling(**({"temperature": 1, "top_k": 4} | sampling))
    assert asked(evo2_script).options.sampling == wanted


@pytest.mark.parametrize("version", VERSIONS)
def test_a_seed_gives_the_same_again(evo2: httpx.Client, version: str) -> None:
    first, again, other = (generate(evo2, version, seed=seed) for seed in (0, 0, 1))
    assert first == again != other
    assert generate(evo2, version, temperature=0) == generate(evo2, version, top_k=1)


REFUSED = [
    ({"max_new_tokens": 0}, "max_new_tokens", "Input should be greater than or equal to 1"),
    ({"max_new_tokens": 4097}, "max_new_tokens", "Input should be less than or equal to 4096"),
    ({"max_new_tokens": 8.0}, "max_new_tokens", "Input should be a valid integer"),
    ({"temperature": -0.1}, "temperature", "Input should be greater than or equal to 0"),
    ({"temperature": 101}, "temperature", "Input should be less than or equal to 100"),
    ({"temperature": "1"}, "temperature", "Input should be a valid number"),
    ({"top_k": 0}, "top_k", "Input should be greater than or equal to 1"),
    ({"top_p": 1.1}, "top_p", "Input should be less than or equal to 1"),
    ({"seed": 0.5}, "seed", "Input should be a valid integer"),
    ({"seed": -(2**63) - 1}, "seed", f"Input should be greater than or equal to {-(2**63)}"),
]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("params", "field", "said"), REFUSED)
def test_params_that_are_not_in_order(
    evo2: httpx.Client, version: str, params: dict[str, Any], field: str, said: str
) -> None:
    answer = ask(evo2, version, {"items": [{"prompt": "A"}], "params": params})
    if version == "v1":
        (entry,) = answer.json()["detail"]
        assert (answer.status_code, entry["loc"]) == (422, ["body", "params", field])
        assert entry["msg"] == said
    else:
        assert answer.status_code == 400
        assert answer.json() == {"error": {f"params__{field}": [said]}}


@pytest.mark.parametrize("prompt", ["", "ACg", "N", "ACGT\n", "A" * 4097, 7])
@pytest.mark.parametrize("version", VERSIONS)
def test_prompts_that_are_not_in_order(
    evo2: httpx.Client, evo2_script: Script, version: str, prompt: object
) -> None:
    answer = ask(evo2, version, {"items": [{"prompt": prompt}]})
    if version == "v1":
        (entry,) = answer.json()["detail"]
        assert (answer.status_code, entry["loc"]) == (422, ["body", "items", 0, "prompt"])
        said = entry["msg"]
    else:
        assert answer.status_code == 400
        (said,) = answer.json()["error"]["items__0__prompt"]
    is_text_of_others = isinstance(prompt, str) and bool(set(prompt) - set("ACGT"))
    assert (NOT_BASES in said) == (is_text_of_others or (prompt == "" and version == "v1"))
    assert not [r for r in evo2_script.requests if isinstance(r, pb.StreamGenerateRequest)]


@pytest.mark.parametrize(
    "body",
    [
        {"items": [{"prompt": "A"}, {"prompt": "C"}]},
        {"items": []},
        {},
        {"items": [{"sequence": "A"}]},
    ],
)
@pytest.mark.parametrize("version", VERSIONS)
def test_exactly_one_prompt(evo2: httpx.Client, version: str, body: object) -> None:
    assert ask(evo2, version, body).status_code == (422 if version == "v1" else 400)


@pytest.mark.parametrize(("version", "http_status"), [("v1", 422), ("v2", 200), ("v3", 400)])
@pytest.mark.parametrize("place", ["params", "item", "body"])
def test_unknown_keys(evo2: httpx.Client, version: str, http_status: int, place: str) -> None:
    places: dict[str, dict[str, Any]] = {"params": {}, "item": {"prompt": "A"}, "body": {}}
    places[place]["more"] = 1
    body = {"items": [places["item"]], "params": places["params"]} | places["body"]
    assert ask(evo2, version, body).status_code == http_status


@pytest.mark.parametrize("version", VERSIONS)
def test_what_the_service_refuses(evo2: httpx.Client, evo2_script: Script, version: str) -> None:
    long = status("SEQUENCE_TOO_LONG", "long", {"items[0].prompt": "long"})
    evo2_script.refuse_items[0] = long
    answer = ask(evo2, version, {"items": [{"prompt": "A"}]})
    assert answer.status_code == 400
    if version != "v1":
        assert answer.json() == {"error": {"items__0__prompt": ["long"]}}


@pytest.mark.parametrize("version", VERSIONS)
def test_an_answer_that_is_too_short(evo2: httpx.Client, evo2_script: Script, version: str) -> None:
    evo2_script.short = True
    assert ask(evo2, version, {"items": [{"prompt": "A"}]}).status_code == 500


@pytest.mark.parametrize("version", VERSIONS)
def test_the_schema(evo2: httpx.Client, version: str) -> None:
    schema = evo2.get(f"/api/{version}/schema/evo2-7b/generate/").json()
    assert schema["properties"]["items"]["maxItems"] == 1
    definitions = schema["$defs"]
    (item,) = (entry for name, entry in definitions.items() if name.endswith("Item"))
    (params,) = (entry for name, entry in definitions.items() if name.endswith("Params"))
    assert item["required"] == ["prompt"]
    assert item["properties"]["prompt"]["maxLength"] == 4096
    assert list(params["properties"]) == [
        "max_new_tokens",
        "temperature",
        "top_k",
        "top_p",
        "seed",
    ]
