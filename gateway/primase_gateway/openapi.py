"""The description of every route, read from the protos and from the dialects' own models."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import orjson
from google.protobuf.message import Message
from google.rpc import status_pb2
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from primase.models.v1 import model_service_pb2 as models_pb
from primase_gateway import biolm_catalogue, biolm_slugs, health, native
from primase_gateway.biolm import Action, Dialect
from primase_gateway.biolm_dialects import DIALECTS, V1, V2, V3
from primase_gateway.biolm_schemas import HOSTED_REFUSAL, array_of, closed_object
from primase_gateway.gateway import Gateway
from primase_gateway.json_stream import MEDIA_TYPE
from primase_gateway.proto_json import descriptor_of
from primase_gateway.proto_schema import Components, Schema

PATH = "/openapi.json"
REFUSALS = (400, 401, 404, 413, 422, 429, 499, 500, 501, 503, 504)
MAX_REMEMBERED = 8


def routes() -> list[Route]:
    """Where the description is served."""
    return [Route(PATH, _serve)]


async def _serve(request: Request) -> Response:
    slugs = await biolm_slugs.served(Gateway.of(request))
    text = _document_text(tuple(slug.name for slug in slugs))
    return Response(text, media_type=MEDIA_TYPE)


@functools.lru_cache(MAX_REMEMBERED)
def _document_text(slugs: tuple[str, ...]) -> bytes:
    return orjson.dumps(document(slugs))


def document(slugs: Sequence[str]) -> Schema:
    """The whole OpenAPI 3.1 document, where the BioLM API serves `slugs`."""
    components = Components()
    paths = _health_paths() | _native_paths(components)
    paths |= _biolm_paths(components, slugs) | _biolm_fixed_paths(components, slugs)
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


def _biolm_paths(components: Components, slugs: Sequence[str]) -> Schema:
    hosted = (
        path
        for dialect in (V2, V3)
        for path in _dialect_paths(components, dialect, "{slug}", "/", [_slug_parameter(slugs)])
    )
    # The hub's clients read from these paths which models there are.
    hub = (path for slug in slugs for path in _dialect_paths(components, V1, slug, "", []))
    return dict([*hosted, *hub])


def _slug_parameter(slugs: Sequence[str]) -> Schema:
    return _path_parameter("slug", {"type": "string"} | ({"enum": list(slugs)} if slugs else {}))


def _dialect_paths(
    components: Components, dialect: Dialect, slug: str, end: str, parameters: list[Schema]
) -> Iterator[tuple[str, Schema]]:
    for name, action in dialect.actions.items():
        operation = _biolm_operation(components, dialect, name, action)
        post = operation | ({"parameters": parameters} if parameters else {})
        yield f"{dialect.prefix}/{slug}/{name}{end}", {"post": post}


def _biolm_operation(components: Components, dialect: Dialect, name: str, action: Action) -> Schema:
    generation = dialect.prefix.rpartition("/")[2]
    title = f"Biolm{generation.title()}{name.title().replace('_', '')}"
    if title not in components.schemas:
        _add_biolm_schemas(components, title, action)
        components.schemas[f"Biolm{generation.title()}Refusal"] = dialect.refusal
    answer = _reference(f"{title}.Answer")
    refusal = _reference(f"Biolm{generation.title()}Refusal")
    return {
        "tags": [f"biolm {generation}"],
        "requestBody": _request_body(_reference(title)),
        "responses": _answers(answer, refusal),
    }


def _biolm_fixed_paths(components: Components, slugs: Sequence[str]) -> Schema:
    anything: Schema = {"type": "object"}
    components.schemas["BiolmModel"] = biolm_catalogue.ENTRY
    model = _reference("BiolmModel")
    slug = _slug_parameter(slugs)
    said = {
        f"{biolm_catalogue.LIST}/": _fixed(array_of(model)),
        f"{biolm_catalogue.LIST}/{{slug}}/": _fixed(model, slug),
    }
    # The login check is left out: the hub's clients would take it for a model called `auth`.
    for dialect in DIALECTS:
        action = _path_parameter("action", {"type": "string", "enum": list(dialect.actions)})
        path = f"{dialect.prefix}/schema/{{slug}}/{{action}}/"
        said[path] = _fixed(anything, slug, action)
    return said


def _fixed(answer: Schema, *parameters: Schema) -> Schema:
    operation: Schema = {"tags": ["biolm"], "responses": _answers(answer, HOSTED_REFUSAL)}
    return {"get": operation | ({"parameters": list(parameters)} if parameters else {})}


def _add_biolm_schemas(components: Components, title: str, action: Action) -> None:
    template = f"#/components/schemas/{title}.{{model}}"
    schema = action.body.model_json_schema(ref_template=template)
    for inner, definition in schema.pop("$defs", {}).items():
        components.schemas[f"{title}.{inner}"] = definition
    components.schemas[title] = schema
    components.schemas[f"{title}.Answer"] = closed_object({"results": array_of(action.result)})


def _reference(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _answers(success: Schema, refusal: Schema) -> Schema:
    refusals = {str(status): _content("Refused", refusal) for status in REFUSALS}
    return {"200": _content("Done", success)} | refusals


def _content(description: str, schema: Mapping[str, Any]) -> Schema:
    return {"description": description, "content": {MEDIA_TYPE: {"schema": schema}}}


def _request_body(schema: Schema) -> Schema:
    return {"required": True, "content": {MEDIA_TYPE: {"schema": schema}}}


def _path_parameter(name: str, schema: Schema) -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": schema}
