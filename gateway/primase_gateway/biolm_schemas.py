"""Pieces of JSON Schema with which the dialects describe their answers."""

from primase_gateway.biolm import Schema

NUMBERS: Schema = {"type": "array", "items": {"type": "number"}}
MATRIX: Schema = {"type": "array", "items": NUMBERS}
TEXT: Schema = {"type": "string"}
TEXTS: Schema = {"type": "array", "items": TEXT}
INTEGER: Schema = {"type": "integer"}


def closed_object(required: Schema, optional: Schema | None = None) -> Schema:
    """An object with these keys and no others."""
    return {
        "type": "object",
        "properties": required | (optional or {}),
        "required": list(required),
        "additionalProperties": False,
    }


def open_object(required: Schema, optional: Schema | None = None) -> Schema:
    """An object with at least the keys of `required`."""
    return closed_object(required, optional) | {"additionalProperties": True}


def array_of(entry: Schema) -> Schema:
    """An array of these."""
    return {"type": "array", "items": entry}


def nullable(schema: Schema) -> Schema:
    """This or null."""
    return {"anyOf": [schema, {"type": "null"}]}


LOG_PROB: Schema = closed_object({"log_prob": {"type": "number"}})
HOSTED_REFUSAL: Schema = {
    "anyOf": [
        open_object({"error": {"type": "object", "additionalProperties": TEXTS}}),
        open_object({"detail": TEXT}, {"error": TEXT}),
    ]
}
HUB_REFUSAL: Schema = {
    "anyOf": [
        open_object(
            {"detail": array_of(open_object({"type": TEXT, "loc": {"type": "array"}, "msg": TEXT}))}
        ),
        open_object({"detail": TEXT}, {"error": TEXT, "code": TEXT, "status_code": INTEGER}),
    ]
}
