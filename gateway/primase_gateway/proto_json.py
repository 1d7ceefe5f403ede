"""Canonical proto JSON to messages and back."""

from collections.abc import Mapping
from typing import Any, TypeVar, cast

import orjson
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status

from primase.options.v1 import rules_pb2
from primase_gateway.errors import Path, Refusal

Parsed = TypeVar("Parsed", bound=Message)
MAX_ERROR_CHARACTERS = 512
# A Status is written with its details spelled out, which needs their types to be loaded.
DETAILS_FILE = error_details_pb2.DESCRIPTOR


def rules_of(field: FieldDescriptor) -> rules_pb2.FieldRules:
    """The rules that the contract sets for `field`."""
    rules: rules_pb2.FieldRules = field.GetOptions().Extensions[rules_pb2.rules]
    return rules


def descriptor_of(kind: type[Message]) -> Descriptor:
    """The description of a kind of message."""
    return cast(Descriptor, kind.DESCRIPTOR)


def parse(document: object, kind: type[Parsed]) -> Parsed:
    """`document` as a message. Raises Refusal (INVALID_PARAMETER, TOO_MANY_ITEMS)."""
    if not isinstance(document, dict):
        raise Refusal.of_field(("body",), "the body must be a JSON object")
    _refuse_long_lists(descriptor_of(kind), document, ())
    message = kind()
    try:
        json_format.ParseDict(document, message)
    except json_format.ParseError as error:
        text = str(error)[:MAX_ERROR_CHARACTERS]
        raise Refusal.of_field(("body",), text) from None
    return message


def _refuse_long_lists(descriptor: Descriptor, document: Mapping[str, Any], path: Path) -> None:
    # Building millions of messages only to count them would take the gateway's time from others.
    for field in descriptor.fields:
        value = document.get(field.json_name, document.get(field.name))
        rules = rules_of(field)
        if isinstance(value, list) and rules.max_items and len(value) > rules.max_items:
            text = f"takes at most {rules.max_items} entries, got {len(value)}"
            raise Refusal.of_field((*path, field.name), text, "TOO_MANY_ITEMS")
        if isinstance(value, dict) and field.message_type is not None:
            _refuse_long_lists(field.message_type, value, (*path, field.name))


def dump(message: Message) -> bytes:
    """`message` as JSON text."""
    return orjson.dumps(json_format.MessageToDict(message))


def dump_status(status: Status) -> bytes:
    """`status` as JSON text, less the details whose types are not known here."""
    known = Status(code=status.code, message=status.message)
    for detail in status.details:
        if detail.TypeName() in _DETAIL_TYPES:
            known.details.append(detail)
    return dump(known)


_DETAIL_TYPES = {message.full_name for message in DETAILS_FILE.message_types_by_name.values()}
