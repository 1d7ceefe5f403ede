"""What FastAPI says of a body that is wrong: the hub of BioLM and NIM are both made with it."""

from collections.abc import Callable
from typing import TypeVar

import orjson
from pydantic import BaseModel

from primase_gateway.body import BODY
from primase_gateway.errors import Refusal, Violation
from primase_gateway.validation import parse

HTTP_STATUS = 422
NOT_AN_OBJECT = "Input should be a valid dictionary or object to extract fields from"

Document = dict[str, object]
Parsed = TypeVar("Parsed", bound=BaseModel)


def parse_json(body: bytes) -> object:
    """`body` as plain Python. Raises Refusal: `missing` where empty, `json_invalid` at its byte."""
    if not body:
        raise refused(Violation(BODY, "Field required", kind="missing"))
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        place = (*BODY, error.pos)
        context = {"error": error.msg}
        raise refused(
            Violation(place, "JSON decode error", kind="json_invalid", given={}, context=context)
        ) from None


def parse_body(kind: type[Parsed], body: object) -> Parsed:
    """`body` as `kind`. Raises Refusal naming every field that is wrong."""
    try:
        return parse(kind, body, from_attributes=True)
    except Refusal as refusal:
        raise unprocessable(refusal) from None


def refused(violation: Violation) -> Refusal:
    """Refused for one thing."""
    return Refusal("INVALID_PARAMETER", violation.message, [violation], http_status=HTTP_STATUS)


def unprocessable(refusal: Refusal) -> Refusal:
    """What is wrong with a body is 422 here; anything else stays what it is."""
    if refusal.http_status != 400:
        return refusal
    name = refusal.reason.name
    return Refusal(name, refusal.message, refusal.violations, http_status=HTTP_STATUS)


def _as_given(given: object) -> object:
    return given


def document(refusal: Refusal, echo: Callable[[object], object] = _as_given) -> Document:
    """The list of what is wrong; `echo` makes of what was given what is repeated of it."""
    return {"detail": [_entry(violation, echo) for violation in refusal.violations]}


def _entry(violation: Violation, echo: Callable[[object], object]) -> Document:
    place = violation.path if violation.path[:1] == BODY else (*BODY, *violation.path)
    entry: Document = {
        "type": violation.kind,
        "loc": place,
        "msg": violation.message,
        "input": echo(violation.given),
    }
    return entry | ({"ctx": violation.context} if violation.context else {})
