"""The description says what the routes do."""

import re

import httpx
import pytest

from primase.evo2.v1 import evo2_service_pb2 as evo2_pb
from primase.models.v1.model_service_pb2 import MODEL_FAMILY_ESM2 as ESM2
from primase.models.v1.model_service_pb2 import MODEL_FAMILY_EVO2 as EVO2
from primase.models.v1.model_service_pb2 import MODEL_FAMILY_PROGEN2 as PROGEN2
from primase_gateway import openapi

ESM2_ONLY = ((ESM2, ("esm2-8m",)), (EVO2, ()), (PROGEN2, ()))
BOTH = ((ESM2, ("esm2-8m",)), (EVO2, ("evo2-7b",)))
ALL = (*BOTH, (PROGEN2, ("progen2-oas", "progen2-large")))
SCHEMAS = openapi.document(ESM2_ONLY)["components"]["schemas"]


def test_it_is_served(client: httpx.Client) -> None:
    answer = client.get("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == openapi.document(ESM2_ONLY)
    assert sorted(answer.json()["paths"]) == [
        "/api/ui/community-api-models/",
        "/api/ui/community-api-models/{slug}/",
        "/api/v1/esm2-8m/encode",
        "/api/v1/esm2-8m/log_prob",
        "/api/v1/esm2-8m/predict",
        "/api/v1/esm2-8m/score",
        "/api/v1/schema/{slug}/{action}/",
        "/api/v2/schema/{slug}/{action}/",
        "/api/v2/{slug}/encode/",
        "/api/v2/{slug}/predict/",
        "/api/v3/schema/{slug}/{action}/",
        "/api/v3/{slug}/encode/",
        "/api/v3/{slug}/log_prob/",
        "/api/v3/{slug}/predict/",
        "/api/v3/{slug}/score/",
        "/biology/arc/evo2/forward",
        "/biology/arc/evo2/generate",
        "/primase/v1/models",
        "/primase/v1/models/{model}",
        "/primase/v1/models/{model}:encode",
        "/primase/v1/models/{model}:forward",
        "/primase/v1/models/{model}:generate",
        "/primase/v1/models/{model}:predict",
        "/primase/v1/models/{model}:scanVariants",
        "/primase/v1/models/{model}:score",
        "/primase/v1/models/{model}:scoreVariants",
        "/primase/v1/models/{model}:streamEncode",
        "/primase/v1/models/{model}:streamForward",
        "/primase/v1/models/{model}:streamGenerate",
        "/primase/v1/models/{model}:streamScore",
        "/v1/biology/arc/evo2-40b/forward",
        "/v1/biology/arc/evo2-40b/generate",
        "/v1/biology/arc/evo2-7b/forward",
        "/v1/biology/arc/evo2-7b/generate",
        "/v1/health/live",
        "/v1/health/ready",
        "/v1/license",
        "/v1/manifest",
        "/v1/metadata",
        "/v1/metrics",
    ]


def test_evo2_has_paths_of_its_own() -> None:
    document = openapi.document(BOTH)
    added = set(document["paths"]) - set(openapi.document(ESM2_ONLY)["paths"])
    assert sorted(added) == [
        "/api/v1/evo2-7b/encode",
        "/api/v1/evo2-7b/generate",
        "/api/v1/evo2-7b/log_prob",
        "/api/v1/evo2-7b/score",
        "/api/v2/evo2-7b/encode/",
        "/api/v2/evo2-7b/generate/",
        "/api/v2/evo2-7b/predict/",
        "/api/v3/evo2-7b/encode/",
        "/api/v3/evo2-7b/generate/",
        "/api/v3/evo2-7b/log_prob/",
        "/api/v3/evo2-7b/predict/",
        "/api/v3/evo2-7b/score/",
    ]
    forward = document["paths"]["/biology/arc/evo2/forward"]["post"]
    assert forward["operationId"] == "forward_biology_arc_evo2_forward_post"
    inputs = document["components"]["schemas"]["ForwardInputs"]
    assert inputs["additionalProperties"] is False
    assert inputs["required"] == ["sequence", "output_layers"]
    layers = {"type": "array", "items": {"type": "string", "minLength": 1}}
    limits = {"minItems": 1, "maxItems": 100, "title": "Output Layers"}
    assert inputs["properties"]["output_layers"] == layers | limits


def test_progen2_has_paths_of_its_own() -> None:
    document = openapi.document(ALL)
    added = set(document["paths"]) - set(openapi.document(BOTH)["paths"])
    ends = ("v1/{}/generate", "v2/{}/generate/", "v3/{}/generate/")
    slugs = ("progen2-oas", "progen2-large")
    assert added == {f"/api/{end.format(slug)}" for end in ends for slug in slugs}
    operation = document["paths"]["/api/v3/progen2-oas/generate/"]["post"]
    (body,) = operation["requestBody"]["content"].values()
    name = body["schema"]["$ref"].rpartition("/")[2]
    schemas = document["components"]["schemas"]
    assert schemas[name]["properties"]["items"]["maxItems"] == 1
    sample = schemas[f"{name}.Answer"]["properties"]["results"]["items"]["items"]
    assert sample["required"] == ["sequence", "ll_sum", "ll_mean"]


def test_generation_as_nim_describes_it() -> None:
    document = openapi.document(BOTH)
    generate = document["paths"]["/biology/arc/evo2/generate"]["post"]
    assert generate["operationId"] == "generate_biology_arc_evo2_generate_post"
    inputs = document["components"]["schemas"]["GenerateInputs"]
    assert inputs["additionalProperties"] is False
    assert inputs["required"] == ["sequence"]
    defaults = {name: field.get("default") for name, field in inputs["properties"].items()}
    assert defaults == {
        "sequence": None,
        "num_tokens": 100,
        "temperature": 0.7,
        "top_k": 3,
        "top_p": 0.0,
        "random_seed": None,
        "enable_logits": False,
        "enable_sampled_probs": False,
        "enable_elapsed_ms_per_token": False,
    }
    whole = {"type": "integer", "minimum": 0, "maximum": 6}
    assert inputs["properties"]["top_k"]["anyOf"] == [whole, {"type": "null"}]
    outputs = document["components"]["schemas"]["GenerateOutputs"]
    assert outputs["required"] == list(outputs["properties"])
    assert outputs["required"] == [
        "sequence",
        "logits",
        "sampled_probs",
        "elapsed_ms",
        "elapsed_ms_per_token",
    ]


def test_a_verb_of_two_families_takes_either() -> None:
    operation = openapi.document(BOTH)["paths"]["/primase/v1/models/{model}:scoreVariants"]["post"]
    bodies = operation["requestBody"]["content"]["application/json"]["schema"]["anyOf"]
    evo2 = evo2_pb.DESCRIPTOR.message_types_by_name["StreamScoreVariantsRequest"].full_name
    assert bodies[1] == {"$ref": f"#/components/schemas/{evo2}"}
    done = operation["responses"]["200"]["content"]["application/json"]["schema"]["anyOf"]
    assert [answer["type"] for answer in done] == ["array", "array"]


def test_limits_are_those_of_the_contract() -> None:
    request = SCHEMAS["primase.esm2.v1.EncodeRequest"]
    assert request["properties"]["items"] == {
        "type": "array",
        "items": {"$ref": "#/components/schemas/primase.esm2.v1.EncodeItem"},
        "minItems": 1,
        "maxItems": 1024,
    }
    assert request["required"] == ["items"]
    item = SCHEMAS["primase.esm2.v1.EncodeItem"]
    assert item["properties"]["sequence"] == {
        "type": "string",
        "minLength": 1,
        "maxLength": 65536,
        "pattern": "^[ACDEFGHIKLMNPQRSTVWYBXZUO.-]*$",
        "x-unit": "residues",
    }
    options = SCHEMAS["primase.esm2.v1.EncodeOptions"]
    assert options["properties"]["reprLayers"]["items"] == {
        "type": "integer",
        "format": "int32",
        "minimum": -1000,
        "maximum": 1000,
    }


@pytest.mark.parametrize(
    ("sequence", "good"), [("MKT", True), ("--M-", True), ("---", False), ("M<mask>", False)]
)
def test_the_pattern_of_encode(sequence: str, good: bool) -> None:
    pattern = SCHEMAS["BiolmV2Encode.EncodeItem"]["properties"]["sequence"]["pattern"]
    assert bool(re.search(pattern, sequence)) == good
    assert SCHEMAS["BiolmV1Encode.EncodeItem"] == SCHEMAS["BiolmV3Encode.EncodeItem"]


@pytest.mark.parametrize(
    ("sequence", "good"),
    [
        ("M<mask>", True),
        ("<mask>M", True),
        ("<mask><mask>KT<mask>", True),
        ("M", False),
        ("<mask>", False),
        ("M<mask>-", False),
    ],
)
def test_the_pattern_of_predict(sequence: str, good: bool) -> None:
    pattern = SCHEMAS["BiolmV2Predict.PredictItem"]["properties"]["sequence"]["pattern"]
    assert bool(re.search(pattern, sequence)) == good
