"""How the NIM routes say no: FastAPI's list for a body, else `error` and `detail`, mostly 422."""

from collections.abc import Mapping
from http import HTTPStatus

import orjson

from primase_gateway import fastapi_errors
from primase_gateway.errors import Refusal

# Much of a sequence may be in what was given, and it is not to come back.
MAX_ECHO_CHARACTERS = 256
# Clients compare the text, and wait and try again.
TOO_BUSY = "Too Busy"
STARTING = "starting"
TIME_LIMIT = "NIM_EVO2_TIMEOUT_S"
# What else may have set the limit that the service names.
SERVICE_LIMIT = " (the lesser of the model's own limit and PRIMASE_SERVE_MAX_BASES)"

UNPROCESSABLE = frozenset(
    {
        "INVALID_SEQUENCE",
        "INVALID_PARAMETER",
        "SEQUENCE_TOO_LONG",
        "UNKNOWN_LAYER",
        "RESPONSE_TOO_LARGE",
        "OUTPUT_UNAVAILABLE",
        "DEADLINE_EXPIRED",
    }
)
BUSY = frozenset({"QUEUE_FULL", "DEADLINE_TOO_SHORT"})
NOT_YET = frozenset({"MODEL_NOT_READY", "SHUTTING_DOWN"})


def restated(refusal: Refusal, *, busy_is_422: bool) -> Refusal:
    """`refusal` with the status and the text that clients of NIM look for."""
    name = refusal.reason.name
    if refusal.http_status == fastapi_errors.HTTP_STATUS:
        return refusal
    if name in BUSY:
        return _again(refusal, TOO_BUSY, 422 if busy_is_422 else 503)
    if name in NOT_YET:
        return _again(refusal, f"{STARTING}: {refusal.message}", 503)
    if name in UNPROCESSABLE:
        return _again(refusal, _text(refusal), 422)
    return refusal


def too_long(num_bases: int, limit: int, setting: str) -> Refusal:
    """A sequence longer than an operator allows."""
    text = (
        f"Sequence length ({num_bases}) is limited to {limit}. You can change the limit by "
        f"setting {setting} environment variable."
    )
    return Refusal("SEQUENCE_TOO_LONG", text)


def too_many_tokens(num_prompt: int, num_new: int, limit: int) -> Refusal:
    """A prompt and its continuation are together more than the model holds."""
    text = (
        f"Maximum allowed sequence length was set to {limit} tokens but requested generation of "
        f"{num_prompt + num_new} tokens: {num_prompt} of the prompt and {num_new} new ones"
    )
    return Refusal("SEQUENCE_TOO_LONG", text + SERVICE_LIMIT)


def timed_out(num_tokens: int, deadline_s: float) -> Refusal:
    """The deadline passed when so many tokens were read or made."""
    text = (
        f"Timed out on {num_tokens}th token. Allowed to run for {deadline_s:g} seconds. You can "
        f"change the limit by setting {TIME_LIMIT} environment variable."
    )
    return Refusal("DEADLINE_EXPIRED", text)


def _again(refusal: Refusal, text: str, http_status: int) -> Refusal:
    retry_after_s = refusal.retry_after_s if http_status == 503 else None
    name = refusal.reason.name
    return Refusal(name, text, retry_after_s=retry_after_s, http_status=http_status)


def _text(refusal: Refusal) -> str:
    said = "; ".join(violation.message for violation in refusal.violations) or refusal.message
    if refusal.reason.name == "SEQUENCE_TOO_LONG" and refusal.status is not None:
        said += SERVICE_LIMIT
    return said


def body(refusal: Refusal) -> bytes:
    """The refusal as JSON text."""
    return orjson.dumps(_document(refusal))


def _document(refusal: Refusal) -> Mapping[str, object]:
    if refusal.violations and refusal.http_status == fastapi_errors.HTTP_STATUS:
        return fastapi_errors.document(refusal, echo)
    if refusal.message == HTTPStatus(refusal.http_status).phrase:
        # No such route or method: FastAPI's own words.
        return {"detail": refusal.message}
    return {"error": refusal.message, "detail": refusal.message}


def echo(given: object) -> object:
    """As much of what was given as is repeated: all of it, or its first characters as text."""
    if isinstance(given, str):
        return given[:MAX_ECHO_CHARACTERS]
    text = orjson.dumps(given)
    return (
        given
        if len(text) <= MAX_ECHO_CHARACTERS
        else text[:MAX_ECHO_CHARACTERS].decode(errors="ignore")
    )
