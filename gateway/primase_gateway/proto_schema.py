"""JSON Schema of proto messages in canonical JSON, with the limits set by the contract."""

from collections.abc import Mapping
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from primase.options.v1 import rules_pb2
from primase_gateway.proto_json import rules_of

Schema = dict[str, Any]

_PROTEIN = "ACDEFGHIKLMNPQRSTVWYBXZUO"
PATTERNS: Mapping[int, str] = {
    rules_pb2.PATTERN_ESM2_SEQUENCE: f"^([{_PROTEIN}.-]|<mask>)*$",
    rules_pb2.PATTERN_ESM2_RESIDUES: f"^[{_PROTEIN}.-]*$",
    rules_pb2.PATTERN_EVO2_SEQUENCE: r"^[ -~\t\n\r]*$",
    rules_pb2.PATTERN_PROGEN2_SEQUENCE: "^[ABCDEFGHIKLMNOPQRSTUVWXYZ]*$",
    rules_pb2.PATTERN_MODEL_NAME: "^[A-Za-z0-9._-]*$",
}

_SCALARS: Mapping[int, Schema] = {
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_STRING: {"type": "string"},
    FieldDescriptor.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
    FieldDescriptor.TYPE_INT32: {"type": "integer", "format": "int32"},
    FieldDescriptor.TYPE_UINT32: {"type": "integer", "minimum": 0, "maximum": 2**32 - 1},
    # Canonical JSON writes 64-bit integers as text.
    FieldDescriptor.TYPE_INT64: {"type": "string", "format": "int64"},
    FieldDescriptor.TYPE_UINT64: {"type": "string", "format": "uint64"},
    FieldDescriptor.TYPE_FLOAT: {"type": "number", "format": "float"},
    FieldDescriptor.TYPE_DOUBLE: {"type": "number", "format": "double"},
}


class Components:
    """Schemas by the full names of messages and enums, each added when first referred to."""

    def __init__(self) -> None:
        self.schemas: dict[str, Schema] = {}

    def reference(self, descriptor: Descriptor | EnumDescriptor) -> Schema:
        """A reference to the schema of a message or an enum."""
        name = descriptor.full_name
        if name not in self.schemas:
            self.schemas[name] = {}
            self.schemas[name] = self._schema(descriptor)
        return {"$ref": f"#/components/schemas/{name}"}

    def _schema(self, descriptor: Descriptor | EnumDescriptor) -> Schema:
        if isinstance(descriptor, EnumDescriptor):
            return {"type": "string", "enum": [value.name for value in descriptor.values]}
        fields = descriptor.fields
        schema: Schema = {
            "type": "object",
            "properties": {field.json_name: self._field(field) for field in fields},
            "additionalProperties": False,
        }
        required = [field.json_name for field in fields if _is_required(field)]
        return schema | ({"required": required} if required else {})

    def _field(self, field: FieldDescriptor) -> Schema:
        rules = rules_of(field)
        entry = self._entry(field)
        if "$ref" not in entry:
            entry = entry | _entry_limits(rules)
        if not field.is_repeated:
            return entry
        limits = {"minItems": rules.min_items, "maxItems": rules.max_items}
        return {"type": "array", "items": entry} | {k: int(v) for k, v in limits.items() if v}

    def _entry(self, field: FieldDescriptor) -> Schema:
        if field.message_type is not None:
            return self.reference(field.message_type)
        if field.enum_type is not None:
            return self.reference(field.enum_type)
        return dict(_SCALARS[field.type])


def _is_required(field: FieldDescriptor) -> bool:
    # The model of a request is in its path.
    rules = rules_of(field)
    needed = rules.required or rules.min_items > 0 or rules.min_length > 0
    return needed and field.name != "model"


def _entry_limits(rules: rules_pb2.FieldRules) -> Schema:
    limits: Schema = {}
    for rule, keyword in (
        ("min", "minimum"),
        ("max", "maximum"),
        ("greater_than", "exclusiveMinimum"),
        ("min_length", "minLength"),
        ("max_length", "maxLength"),
    ):
        if rules.HasField(rule):  # type: ignore[arg-type]  # the names are those of the message
            limits[keyword] = _whole(getattr(rules, rule))
    if rules.pattern:
        limits["pattern"] = PATTERNS[rules.pattern]
    if rules.unit:
        limits["x-unit"] = rules.unit
    return limits


def _whole(number: float) -> float:
    return int(number) if number == int(number) else number
