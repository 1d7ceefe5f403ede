"""Nothing that a client sends breaks the gateway: made from its own description, or at random."""

import json
import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote_from_bytes

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from primase.models.v1.model_service_pb2 import (
    MODEL_FAMILY_ESM2,
    MODEL_FAMILY_EVO2,
    MODEL_FAMILY_PROGEN2,
)
from primase_gateway import openapi
from tests.gateway import scripted, scripted_evo2, scripted_progen2
from tests.gateway.live import Live
from tests.gateway.scripted import ScriptedServer

# `make fuzz` asks for many more.
NUM_EXAMPLES = int(os.environ.get("PRIMASE_FUZZ_EXAMPLES", "60"))
NUM_MADE = max(8, NUM_EXAMPLES // 20)  # of each operation, in each mode
SLUG = "esm2-8m"
NAMES = (
    (MODEL_FAMILY_ESM2, (SLUG,)),
    (MODEL_FAMILY_EVO2, ("evo2-7b",)),
    (MODEL_FAMILY_PROGEN2, ("progen2-oas",)),
)
TAKING_NOTHING = (
    "/v1/health/live",
    "/v1/health/ready",
    "/v1/license",
    "/v1/manifest",
    "/v1/metadata",
    "/v1/metrics",
    "/api/ui/community-api-models/",
)
CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def documented(service: ScriptedServer, live: Live) -> Iterator[httpx.Client]:
    service.reset([scripted.model(SLUG), scripted_evo2.model(), scripted_progen2.model()])
    with httpx.Client(base_url=live.url, timeout=30) as opened:
        yield opened


DOCUMENT = openapi.document(NAMES)
described = schemathesis.openapi.from_dict(DOCUMENT)
BROKEN = schemathesis.GenerationMode.NEGATIVE
OPERATIONS = [
    (path, method, mode)
    for path, operations in DOCUMENT["paths"].items()
    for method in operations
    for mode in schemathesis.GenerationMode
    # What takes nothing cannot be given anything wrong.
    if not (mode is BROKEN and path in TAKING_NOTHING)
]


@pytest.mark.parametrize(("path", "method", "mode"), OPERATIONS)
def test_nothing_made_from_the_description_breaks_it(
    documented: httpx.Client, path: str, method: str, mode: schemathesis.GenerationMode
) -> None:
    @given(case=described[path][method].as_strategy(generation_mode=mode))
    @settings(max_examples=NUM_MADE, suppress_health_check=list(HealthCheck))
    def answers(case: schemathesis.Case[Any]) -> None:
        case.call_and_validate(base_url=str(documented.base_url), checks=CHECKS)

    answers()


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
odd = plain | st.sampled_from(["M", "M<mask>", "mean", -1, 2**70, 1e300])
item = st.fixed_dictionaries({}, optional={"sequence": odd, "prompt": odd, "context": odd})
items = st.lists(item | odd, max_size=10)
params = st.fixed_dictionaries(
    {},
    optional={
        "repr_layers": st.lists(odd) | odd,
        "include": st.lists(odd) | odd,
        "temperature": odd,
        "max_length": odd,
    },
)
bodies = st.fixed_dictionaries({}, optional={"params": params | odd, "items": items | odd}) | odd
native_bodies = st.fixed_dictionaries(
    {},
    optional={
        "items": items | odd,
        "options": st.fixed_dictionaries(
            {}, optional={"reprLayers": st.lists(odd) | odd, "attentionHeads": odd, "include": odd}
        )
        | odd,
        "model": odd,
        "numCandidates": odd,
    },
)
BIOLM = (
    "/api/v2/esm2-8m/encode/",
    "/api/v2/esm2-8m/predict",
    "/api/v3/esm2-8m/encode/",
    "/api/v3/esm2-8m/predict/",
    "/api/v3/esm2-8m/score/",
    "/api/v2/evo2-7b/generate",
    "/api/v2/progen2-oas/generate",
    "/api/v3/progen2-oas/generate/",
)
HUB = (
    "/api/v1/esm2-8m/encode",
    "/api/v1/esm2-8m/predict",
    "/api/v1/esm2-8m/log_prob",
    "/api/v1/evo2-7b/generate",
    "/api/v1/progen2-oas/generate",
)
JSON_HEADERS = {"content-type": "application/json"}
NATIVE = (
    "/primase/v1/models/esm2-8m:encode",
    "/primase/v1/models/esm2-8m:predict",
    "/primase/v1/models/evo2-7b:forward",
    "/primase/v1/models/evo2-7b:scoreVariants",
    "/primase/v1/models/evo2-7b:generate",
    "/primase/v1/models/progen2-oas:generate",
    "/primase/v1/models/progen2-oas:score",
)
NIM = (
    "/biology/arc/evo2/forward",
    "/v1/biology/arc/evo2-7b/forward/",
    "/biology/arc/evo2/generate",
    "/v1/biology/arc/evo2-7b/generate/",
)
nim_layers = st.lists(odd | st.sampled_from(["unembed", "decoder.layers.3"]), max_size=3)
nim_bodies = st.fixed_dictionaries(
    {},
    optional={
        "sequence": odd,
        "output_layers": nim_layers | odd,
        "seed": odd,
        "num_tokens": odd,
        "random_seed": odd,
        "enable_logits": odd,
    },
)


@given(path=st.sampled_from(BIOLM), body=bodies)
@settings(max_examples=NUM_EXAMPLES)
def test_no_json_breaks_the_biolm_routes(documented: httpx.Client, path: str, body: Any) -> None:
    # Python's JSON writes NaN and lone surrogates, which is the point.
    answer = documented.post(path, content=json.dumps(body))
    assert answer.status_code in (200, 400)
    assert ("results" in answer.json()) == (answer.status_code == 200)
    assert ("error" in answer.json()) == (answer.status_code == 400)


@given(path=st.sampled_from(HUB), body=bodies)
@settings(max_examples=NUM_EXAMPLES)
def test_no_json_breaks_the_hub_routes(documented: httpx.Client, path: str, body: Any) -> None:
    answer = documented.post(path, content=json.dumps(body), headers=JSON_HEADERS)
    assert answer.status_code in (200, 400, 422)
    assert ("results" in answer.json()) == (answer.status_code == 200)
    assert ("detail" in answer.json()) == (answer.status_code != 200)


@given(path=st.sampled_from(NATIVE), body=native_bodies | odd)
@settings(max_examples=NUM_EXAMPLES)
def test_no_json_breaks_the_native_routes(documented: httpx.Client, path: str, body: Any) -> None:
    answer = documented.post(path, content=json.dumps(body))
    assert answer.status_code in (200, 400)
    assert ("code" in answer.json()) == (answer.status_code == 400)


@given(path=st.sampled_from(NIM), body=nim_bodies | odd)
@settings(max_examples=NUM_EXAMPLES)
def test_no_json_breaks_the_nim_routes(documented: httpx.Client, path: str, body: Any) -> None:
    answer = documented.post(path, content=json.dumps(body))
    assert answer.status_code in (200, 422)
    assert ("detail" in answer.json()) == (answer.status_code == 422)
    answered = {"data", "sequence"} & set(answer.json())
    assert bool(answered) == (answer.status_code == 200)


@given(
    path=st.sampled_from(BIOLM + HUB + NATIVE + NIM),
    body=st.binary(max_size=200),
    gzipped=st.booleans(),
)
@settings(max_examples=NUM_EXAMPLES)
def test_no_bytes_break_any_route(
    documented: httpx.Client, path: str, body: bytes, gzipped: bool
) -> None:
    headers = JSON_HEADERS | ({"content-encoding": "gzip"} if gzipped else {})
    answer = documented.post(path, content=body, headers=headers)
    assert answer.status_code == (422 if path in HUB + NIM else 400)
    assert answer.headers["content-type"] == "application/json"


@given(path=st.binary(max_size=40))
@settings(max_examples=NUM_EXAMPLES)
def test_no_path_breaks_it(documented: httpx.Client, path: bytes) -> None:
    for prefix in ("/", "/api/v1/", "/api/v2/", "/api/v3/schema/", "/primase/v1/models/"):
        answer = documented.post(prefix + quote_from_bytes(path), json={})
        assert answer.status_code in (400, 404, 405, 422)
        assert answer.headers["content-type"] == "application/json"
