"""From the status of a call, or of one of its items, to the exception that stands for it."""

from typing import TypeVar, cast

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from primase.exceptions import BY_CODE, BY_REASON, PrimaseError, Violation
from primase.reasons import ERROR_DOMAIN, REASONS

REQUEST_ID_KEY = "x-request-id"

_CODES = {code.value[0]: code for code in grpc.StatusCode}

MessageT = TypeVar("MessageT", bound=Message)


def from_status(status: status_pb2.Status, request_id: str = "") -> PrimaseError:
    """The exception for `status`; `request_id` where its details do not name the request."""
    code = _CODES.get(status.code, grpc.StatusCode.UNKNOWN)
    info = _detail(status, error_details_pb2.ErrorInfo)
    reason = info.reason if info is not None and info.domain == ERROR_DOMAIN else ""
    request = _detail(status, error_details_pb2.RequestInfo)
    return _class_of(reason, code)(
        status.message,
        code,
        reason,
        _is_retryable(reason, code),
        _retry_after_s(status),
        _violations(status),
        request.request_id if request is not None else request_id,
    )


def from_rpc_error(error: grpc.RpcError) -> PrimaseError:
    """The exception for a failed call, of grpc or of grpc.aio."""
    # What a call raises has the getters of a call, in both of them.
    call = cast(grpc.Call, error)
    return from_status(_status_of(call), _request_id(call))


def _class_of(reason: str, code: grpc.StatusCode) -> type[PrimaseError]:
    return BY_REASON.get(reason) or BY_CODE.get(code, PrimaseError)


def _is_retryable(reason: str, code: grpc.StatusCode) -> bool:
    known = REASONS.get(reason)
    return known.retryable if known is not None else code is grpc.StatusCode.UNAVAILABLE


def _retry_after_s(status: status_pb2.Status) -> float | None:
    info = _detail(status, error_details_pb2.RetryInfo)
    return info.retry_delay.ToTimedelta().total_seconds() if info is not None else None


def _violations(status: status_pb2.Status) -> tuple[Violation, ...]:
    request = _detail(status, error_details_pb2.BadRequest)
    if request is None:
        return ()
    return tuple(Violation(v.field, v.description, v.reason) for v in request.field_violations)


def _detail(status: status_pb2.Status, kind: type[MessageT]) -> MessageT | None:
    for packed in status.details:
        detail = kind()
        try:
            if packed.Unpack(detail):
                return detail
        except DecodeError:
            continue
    return None


def _status_of(call: grpc.Call) -> status_pb2.Status:
    try:
        status = cast("status_pb2.Status | None", rpc_status.from_call(call))
    except (ValueError, DecodeError):
        # Details that contradict the call itself: the call is right.
        status = None
    if status is not None:
        return status
    return status_pb2.Status(code=call.code().value[0], message=call.details() or "")


def _request_id(call: grpc.Call) -> str:
    metadata = (*(call.initial_metadata() or ()), *(call.trailing_metadata() or ()))
    return next((str(value) for key, value in metadata if key == REQUEST_ID_KEY), "")
