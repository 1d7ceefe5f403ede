"""The description of every route, read from the protos and from the dialects' own models."""

import functools
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import orjson
from google.protobuf.message import Message
from google.rpc import status_pb2
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from primase.models.v1 import model_service_pb2 as models_pb
from primase_gateway import biolm_v2, health, native
from primase_gateway.json_stream import MEDIA_TYPE
from primase_gateway.proto_json import descriptor_of
from primase_gateway.proto_schema import Components, Schema

PATH = "/openapi.json"
BIOLM_SLUGS = ("esm2-8m", "esm2-35m", "esm2-150m", "esm2-650m", "esm2-3b")
REFUSALS = (400, 401, 404, 413, 429, 499, 500, 501, 503, 504)

NUMBERS: Schema = {"type": "array", "items": {"type": "number"}}
MATRIX: Schema = {"type": "array", "items": NUMBERS}
TEXTS: Schema = {"type": "array", "items": {"type": "string"}}


def routes() -> list[Route]:
    """Where the description is served."""
    return [Route(PATH, _serve)]


async def _serve(request: Request) -> Response:
    return Response(_document_text(), media_type=MEDIA_TYPE)


@functools.cache
def _document_text() -> bytes:
    return orjson.dumps(document())


def document() -> Schema:
    """The whole OpenAPI 3.1 document."""
    components = Components()
    paths = _health_paths() | _native_paths(components) | _biolm_v2_paths(components)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Primase", "version": version("primase-gateway")},
        "paths": paths,
        "components": {
            "schemas": components.schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _health_paths() -> Schema:
    word: Schema = {"type": "object", "properties": {"status": {"type": "string"}}}
    answers = {str(status): _content("Health", word) for status in (200, 503)}
    return {
        path: {"get": {"tags": ["health"], "responses": answers}}
        for path in (health.LIVE_PATH, health.READY_PATH)
    }


def _native_paths(components: Components) -> Schema:
    model = _path_parameter("model", {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$"})
    paths: Schema = {
        native.MODELS: {
            "get": _native_operation(components, models_pb.ListModelsResponse)
            | {"parameters": _query(components)}
        },
        f"{native.MODELS}/{{model}}": {
            "get": _native_operation(components, models_pb.GetModelResponse)
            | {"parameters": [model]}
        },
    }
    for name, verb in native.VERBS.items():
        body = components.reference(descriptor_of(verb.request))
        operation = _native_operation(components, verb.response)
        extra = {"parameters": [model], "requestBody": _request_body(body)}
        paths[f"{native.MODELS}/{{model}}:{name}"] = {"post": operation | extra}
    return paths


def _native_operation(components: Components, answer: type[Message]) -> Schema:
    status = components.reference(descriptor_of(status_pb2.Status))
    # A detail is spelled out with its own fields, and `@type` names them.
    components.schemas["google.protobuf.Any"] = {"type": "object"}
    schema = components.reference(descriptor_of(answer))
    return {"tags": ["native"], "responses": _answers(schema, status)}


def _query(components: Components) -> list[Schema]:
    request = descriptor_of(models_pb.ListModelsRequest)
    components.reference(request)
    fields = components.schemas[request.full_name]["properties"]
    return [{"name": name, "in": "query", "schema": schema} for name, schema in fields.items()]


def _biolm_v2_paths(components: Components) -> Schema:
    prefix = f"{biolm_v2.PREFIX}/{{slug}}"
    encode = _biolm_operation(components, "BiolmV2Encode", biolm_v2.EncodeRequest, ENCODING)
    predict = _biolm_operation(components, "BiolmV2Predict", biolm_v2.PredictRequest, PREDICTION)
    return {f"{prefix}/encode/": {"post": encode}, f"{prefix}/predict/": {"post": predict}}


_BY_LAYER: Schema = {"type": "object", "additionalProperties": NUMBERS}
ENCODING: Schema = {
    "type": "object",
    "properties": {
        "sequence_index": {"type": "integer"},
        "mean_representations": _BY_LAYER,
        "bos_representations": _BY_LAYER,
        "representations": {"type": "object", "additionalProperties": MATRIX},
        "contacts": MATRIX,
        "logits": MATRIX,
        "attentions": MATRIX,
    },
    "required": ["sequence_index"],
    "additionalProperties": False,
}
PREDICTION: Schema = {
    "type": "object",
    "properties": {"logits": MATRIX, "sequence_tokens": TEXTS, "alphabet_tokens": TEXTS},
    "required": ["logits", "sequence_tokens", "alphabet_tokens"],
    "additionalProperties": False,
}
BIOLM_REFUSAL: Schema = {
    "anyOf": [
        {
            "type": "object",
            "properties": {"error": {"type": "object", "additionalProperties": TEXTS}},
            "required": ["error"],
        },
        {
            "type": "object",
            "properties": {"error": {"type": "string"}, "detail": {"type": "string"}},
            "required": ["detail"],
        },
    ]
}


def _biolm_operation(
    components: Components, name: str, body: type[BaseModel], result: Schema
) -> Schema:
    template = f"#/components/schemas/{name}.{{model}}"
    schema = body.model_json_schema(ref_template=template)
    for inner, definition in schema.pop("$defs", {}).items():
        components.schemas[f"{name}.{inner}"] = definition
    components.schemas[name] = schema
    results = {"type": "array", "items": result}
    answer = {"type": "object", "properties": {"results": results}, "required": ["results"]}
    return {
        "tags": ["biolm v2"],
        "parameters": [_path_parameter("slug", {"type": "string", "enum": list(BIOLM_SLUGS)})],
        "requestBody": _request_body({"$ref": f"#/components/schemas/{name}"}),
        "responses": _answers(answer, BIOLM_REFUSAL),
    }


def _answers(success: Schema, refusal: Schema) -> Schema:
    refusals = {str(status): _content("Refused", refusal) for status in REFUSALS}
    return {"200": _content("Done", success)} | refusals


def _content(description: str, schema: Mapping[str, Any]) -> Schema:
    return {"description": description, "content": {MEDIA_TYPE: {"schema": schema}}}


def _request_body(schema: Schema) -> Schema:
    return {"required": True, "content": {MEDIA_TYPE: {"schema": schema}}}


def _path_parameter(name: str, schema: Schema) -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": schema}
