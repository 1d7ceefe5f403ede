"""The description of the NIM routes, with the operation ids of NIM's own."""

import re
from typing import Any

from pydantic import BaseModel

from primase_gateway import metrics, nim, nim_about
from primase_gateway.biolm_schemas import HUB_REFUSAL
from primase_gateway.nim_models import (
    ForwardInputs,
    ForwardOutputs,
    GenerateInputs,
    GenerateOutputs,
    LicenseEndpointModel,
    ManifestEndpointModel,
    MetadataEndpointModel,
)
from primase_gateway.openapi_pieces import answers, request_body
from primase_gateway.proto_schema import Components, Schema

BODIES: dict[str, tuple[type[BaseModel], type[BaseModel]]] = {
    "generate": (GenerateInputs, GenerateOutputs),
    "forward": (ForwardInputs, ForwardOutputs),
}
PAGES: dict[str, type[BaseModel]] = {
    nim_about.LICENSE_PATH: LicenseEndpointModel,
    nim_about.METADATA_PATH: MetadataEndpointModel,
    nim_about.MANIFEST_PATH: ManifestEndpointModel,
}


def nim_paths(components: Components) -> Schema:
    """Inference under each of its paths, and what a NIM tells about itself."""
    components.schemas["NimRefusal"] = HUB_REFUSAL
    posts = {
        f"{prefix}/{name}": {"post": _inference(components, name, f"{prefix}/{name}")}
        for name in nim.HANDLERS
        for prefix in nim.SIZES
    }
    pages = {path: {"get": _page(components, answer)} for path, answer in PAGES.items()}
    text = {metrics.MEDIA_TYPE: {"schema": {"type": "string"}}}
    measured = {"tags": ["nim"], "responses": {"200": {"description": "Done", "content": text}}}
    return posts | pages | {nim_about.METRICS_PATH: {"get": measured}}


def _inference(components: Components, name: str, path: str) -> Schema:
    body, answer = BODIES[name]
    return {
        "tags": ["nim"],
        # As FastAPI makes them.
        "operationId": re.sub(r"\W", "_", f"{name}{path}_post"),
        "requestBody": request_body(_reference(components, body, "validation")),
        "responses": answers(
            _reference(components, answer, "serialization"),
            {"$ref": "#/components/schemas/NimRefusal"},
        ),
    }


def _page(components: Components, answer: type[BaseModel]) -> Schema:
    refusal = {"type": "object"}
    said = answers(_reference(components, answer, "serialization"), refusal)
    return {"tags": ["nim"], "responses": said}


def _reference(components: Components, kind: type[BaseModel], mode: Any) -> Schema:
    schema = kind.model_json_schema(mode=mode, ref_template="#/components/schemas/{model}")
    components.schemas |= schema.pop("$defs", {})
    components.schemas[kind.__name__] = schema
    return {"$ref": f"#/components/schemas/{kind.__name__}"}
