"""How the scripted server refuses calls, and which attempts of them."""

from typing import NoReturn

import grpc
from google.protobuf.any_pb2 import Any as PackedMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2

from tests.clients.scripted import abort, bad_request, packed, status

Context = grpc.ServicerContext


def _busy(delay_ms: int) -> status_pb2.Status:
    delay = Duration(seconds=delay_ms // 1000, nanos=delay_ms % 1000 * 1_000_000)
    retry = error_details_pb2.RetryInfo(retry_delay=delay)
    return status(grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL", "the queue is full", retry)


def _bare(code: grpc.StatusCode, message: str, *details: PackedMessage) -> status_pb2.Status:
    return status_pb2.Status(code=code.value[0], message=message, details=details)


_AWAY = _bare(grpc.StatusCode.UNAVAILABLE, "away")
_OF_A_PROXY = error_details_pb2.ErrorInfo(reason="BLOCKED", domain="proxy.example")
_OF_THE_FUTURE = PackedMessage(type_url="type.googleapis.com/future.Detail", value=b"\x0a\x01x")

# Status, and what to say of retries: milliseconds, -1 for none, None for nothing.
Refusal = tuple[status_pb2.Status, int | None]

ERRORS: dict[str, Refusal] = {
    "full": (_busy(1500), -1),
    "unavailable": (_AWAY, -1),
    "unknown_reason": (
        status(grpc.StatusCode.FAILED_PRECONDITION, "FROM_THE_FUTURE", "later"),
        None,
    ),
    "other_domain": (
        _bare(grpc.StatusCode.PERMISSION_DENIED, "no", packed(_OF_A_PROXY)),
        None,
    ),
    "no_details": (_bare(grpc.StatusCode.PERMISSION_DENIED, "no"), None),
    "unknown_detail": (
        _bare(
            grpc.StatusCode.NOT_FOUND,
            "none",
            _OF_THE_FUTURE,
            packed(error_details_pb2.ErrorInfo(reason="UNKNOWN_MODEL", domain="primase")),
            packed(error_details_pb2.RequestInfo(request_id="request-7")),
        ),
        None,
    ),
    "bad_request": (
        status(
            grpc.StatusCode.INVALID_ARGUMENT,
            "INVALID_PARAMETER",
            "two fields",
            bad_request(("options.top_p", "is 0", "INVALID_PARAMETER"), ("model", "is empty", "")),
        ),
        None,
    ),
}

# The refusals of the first attempts.
ATTEMPTS: dict[str, tuple[Refusal, ...]] = {
    "busy_once": ((_busy(700), 700),),
    "busy_twice": ((_busy(20), 20), (_busy(20), 20)),
    "busy_never_again": ((_busy(1500), -1),),
    "away_once": ((_AWAY, None),),
    "internal_once": ((status(grpc.StatusCode.INTERNAL, "INTERNAL", "oh"), None),),
}


def refuse(context: Context, name: str) -> NoReturn:
    """End the call with that error."""
    abort(context, *ERRORS[name])


def lose(context: Context) -> NoReturn:
    """End the call as one whose connection is lost."""
    abort(context, _AWAY)


def attempt(context: Context, name: str) -> int:
    """The number of this attempt, from 1, which gRPC itself tells; refused where it is early."""
    number = 1 + int(metadata(context).get("grpc-previous-rpc-attempts", 0))
    refusals = ATTEMPTS[name]
    if number <= len(refusals):
        abort(context, *refusals[number - 1])
    return number


def metadata(context: Context) -> dict[str, str]:
    """What the call came with."""
    return {key: str(value) for key, value in context.invocation_metadata()}
