"""A body as a typed object, and what is wrong with it as a refusal."""

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from primase_gateway.body import BODY
from primase_gateway.errors import Refusal, Violation

Parsed = TypeVar("Parsed", bound=BaseModel)

MAX_VIOLATIONS = 1000


def parse(kind: type[Parsed], body: object, *, from_attributes: bool = False) -> Parsed:
    """`body` as `kind`. Raises Refusal (INVALID_PARAMETER) naming every field that is wrong.

    `from_attributes` as pydantic has it: FastAPI sets it, and its messages are then different.
    """
    try:
        return kind.model_validate(body, from_attributes=from_attributes)
    except ValidationError as error:
        raise _refusal(error) from None


def _refusal(error: ValidationError) -> Refusal:
    # Each unknown key is one, and a body may hold hundreds of thousands.
    if error.error_count() > MAX_VIOLATIONS:
        return Refusal.of_field(BODY, f"{error.error_count()} fields are wrong")
    violations = [_violation(found) for found in error.errors(include_url=False)]
    return Refusal("INVALID_PARAMETER", "invalid request", violations)


def _violation(found: Any) -> Violation:
    return Violation(
        found["loc"] or BODY,
        _message(found),
        kind=found["type"],
        given=found["input"],
        context=_context(found),
    )


def _message(found: Any) -> str:
    # The library's own words name the Python class.
    message: str = "Input should be an object" if found["type"] == "model_type" else found["msg"]
    return message


def _context(found: Any) -> dict[str, object]:
    # An exception is no JSON; its text is the message already.
    context = found.get("ctx", {})
    return {key: {} if isinstance(value, Exception) else value for key, value in context.items()}
