"""Pieces of an OpenAPI document."""

from collections.abc import Mapping, Sequence
from typing import Any

from primase_gateway.json_stream import MEDIA_TYPE
from primase_gateway.proto_schema import Schema

REFUSALS = (400, 401, 404, 413, 422, 429, 499, 500, 501, 503, 504)


def answers(success: Schema, refusal: Schema) -> Schema:
    """Responses of an operation, done and refused."""
    return {"200": content("Done", success)} | refusals(refusal)


def refusals(refusal: Schema) -> Schema:
    """Responses of an operation that is refused."""
    return {str(status): content("Refused", refusal) for status in REFUSALS}


def content(description: str, schema: Mapping[str, Any]) -> Schema:
    """One response."""
    return contents(description, {MEDIA_TYPE: schema})


def contents(description: str, schemas: Mapping[str, Mapping[str, Any]]) -> Schema:
    """One response, in any of these types."""
    by_type = {media_type: {"schema": schema} for media_type, schema in schemas.items()}
    return {"description": description, "content": by_type}


def request_body(schema: Schema) -> Schema:
    """A body that must be there."""
    return {"required": True, "content": {MEDIA_TYPE: {"schema": schema}}}


def path_parameter(name: str, schema: Schema) -> Schema:
    """A part of the path."""
    return {"name": name, "in": "path", "required": True, "schema": schema}


def any_of(schemas: Sequence[Schema]) -> Schema:
    """One of these; the schema itself where it is the only one."""
    return schemas[0] if len(schemas) == 1 else {"anyOf": list(schemas)}
