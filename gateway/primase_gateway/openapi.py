"""The description of every route, read from the protos and from the dialects' own models."""

import functools
from collections.abc import Mapping, Sequence
from importlib.metadata import version

import orjson
from google.protobuf.message import Message
from google.rpc import status_pb2
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from primase.models.v1 import model_service_pb2 as models_pb
from primase_gateway import biolm_slugs, health, native
from primase_gateway.biolm_openapi import biolm_paths
from primase_gateway.biolm_slugs import Names
from primase_gateway.gateway import Gateway
from primase_gateway.json_stream import MEDIA_TYPE
from primase_gateway.native_verbs import VERBS, AnyVerb
from primase_gateway.nim_openapi import nim_paths
from primase_gateway.openapi_pieces import (
    any_of,
    content,
    contents,
    path_parameter,
    refusals,
    request_body,
)
from primase_gateway.proto_json import descriptor_of
from primase_gateway.proto_schema import Components, Schema

PATH = "/openapi.json"
MAX_REMEMBERED = 8


def routes() -> list[Route]:
    """Where the description is served."""
    return [Route(PATH, _serve)]


async def _serve(request: Request) -> Response:
    slugs = await biolm_slugs.served(Gateway.of(request))
    text = _document_text(biolm_slugs.names_by_family(slugs))
    return Response(text, media_type=MEDIA_TYPE)


@functools.lru_cache(MAX_REMEMBERED)
def _document_text(slugs: Names) -> bytes:
    return orjson.dumps(document(slugs))


def document(slugs: Names) -> Schema:
    """The whole OpenAPI 3.1 document, where the BioLM API serves `slugs`."""
    components = Components()
    paths = _health_paths() | _native_paths(components)
    paths |= nim_paths(components) | biolm_paths(components, slugs)
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
    responses = {str(status): content("Health", word) for status in (200, 503)}
    return {
        path: {"get": {"tags": ["health"], "responses": responses}}
        for path in (health.LIVE_PATH, health.READY_PATH)
    }


def _native_paths(components: Components) -> Schema:
    model = path_parameter("model", {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$"})
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
    names = dict.fromkeys(name for verbs in VERBS.values() for name in verbs)
    for name in names:
        taken = [verbs[name] for verbs in VERBS.values() if name in verbs]
        paths[f"{native.MODELS}/{{model}}:{name}"] = {
            "post": _verb_operation(components, taken) | {"parameters": [model]}
        }
    return paths


def _verb_operation(components: Components, verbs: Sequence[AnyVerb]) -> Schema:
    """One call, which takes and gives what the family of the model says."""
    body = any_of([components.reference(descriptor_of(verb.request)) for verb in verbs])
    given: dict[str, list[Schema]] = {}
    for verb in verbs:
        message = components.reference(descriptor_of(verb.response))
        given.setdefault(verb.content_type, []).append(verb.described(message))
    done = {content_type: any_of(schemas) for content_type, schemas in given.items()}
    return _native_answers(components, done) | {"requestBody": request_body(body)}


def _native_operation(components: Components, answer: type[Message]) -> Schema:
    done = components.reference(descriptor_of(answer))
    return _native_answers(components, {MEDIA_TYPE: done})


def _native_answers(components: Components, done: Mapping[str, Schema]) -> Schema:
    status = components.reference(descriptor_of(status_pb2.Status))
    # A detail is spelled out with its own fields, and `@type` names them.
    components.schemas["google.protobuf.Any"] = {"type": "object"}
    responses = refusals(status) | {"200": contents("Done", done)}
    return {"tags": ["native"], "responses": responses}


def _query(components: Components) -> list[Schema]:
    request = descriptor_of(models_pb.ListModelsRequest)
    components.reference(request)
    fields = components.schemas[request.full_name]["properties"]
    return [{"name": name, "in": "query", "schema": schema} for name, schema in fields.items()]
