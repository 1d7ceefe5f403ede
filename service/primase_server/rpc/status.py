"""A PrimaseError as google.rpc.Status, with the details that let a client act on it."""

from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from primase.reasons import ERROR_DOMAIN, REASONS
from primase_server.errors import (
    InvalidRequest,
    ModelNotReady,
    PrimaseError,
    QueueFull,
    QuotaExceeded,
    ScreeningUnavailable,
    SequenceRefused,
    UnknownModel,
)

# Details travel in a header, which peers bound: of a thousand bad items the first are named.
MAX_VIOLATIONS = 32
MAX_MESSAGE_CHARACTERS = 1024


class GivenStatus(PrimaseError):
    """An error that another server has told already; `pushback` is its header for retries."""

    reason = "INTERNAL"

    def __init__(self, status: status_pb2.Status, given_reason: str, pushback: str = "") -> None:
        super().__init__(status.message)
        self.status = status
        self.given_reason = given_reason
        self.pushback = pushback


def to_status(error: PrimaseError, request_id: str = "") -> status_pb2.Status:
    """The status of `error`: code and reason by the contract's table, then the details that fit."""
    if isinstance(error, GivenStatus):
        return error.status
    reason = reason_of(error)
    status = status_pb2.Status(
        code=REASONS[reason].code.value[0], message=error.message[:MAX_MESSAGE_CHARACTERS]
    )
    for detail in (_error_info(reason, error), *_details(error), *_request_info(request_id)):
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def reason_of(error: PrimaseError) -> str:
    """The error's reason; that of its violations where they all agree on one."""
    if isinstance(error, GivenStatus):
        return error.given_reason
    if isinstance(error, InvalidRequest):
        reasons = {violation.reason for violation in error.violations}
        return reasons.pop() if len(reasons) == 1 else error.reason
    return error.reason


def _error_info(reason: str, error: PrimaseError) -> Message:
    metadata = {"retryable": "true" if REASONS[reason].retryable else "false"}
    if isinstance(error, SequenceRefused):
        metadata["screening_code"] = error.code
    return error_details_pb2.ErrorInfo(reason=reason, domain=ERROR_DOMAIN, metadata=metadata)


def _details(error: PrimaseError) -> list[Message]:
    if isinstance(error, InvalidRequest):
        return [_bad_request(error)]
    if isinstance(error, UnknownModel):
        return [error_details_pb2.ResourceInfo(resource_type="model", resource_name=error.model)]
    if isinstance(error, QuotaExceeded):
        return [_quota_failure(error), _retry_info(error.retry_after_s)]
    if isinstance(error, QueueFull | ScreeningUnavailable):
        return [_retry_info(error.retry_after_s)]
    if isinstance(error, ModelNotReady) and error.retry_after_s is not None:
        return [_retry_info(error.retry_after_s)]
    return []


def _bad_request(error: InvalidRequest) -> Message:
    return error_details_pb2.BadRequest(
        field_violations=[
            error_details_pb2.BadRequest.FieldViolation(
                field=v.field, description=v.description[:256], reason=v.reason
            )
            for v in error.violations[:MAX_VIOLATIONS]
        ]
    )


def _quota_failure(error: QuotaExceeded) -> Message:
    violation = error_details_pb2.QuotaFailure.Violation(
        subject=error.subject, description=error.message
    )
    return error_details_pb2.QuotaFailure(violations=[violation])


def _retry_info(retry_after_s: float) -> Message:
    delay = duration_pb2.Duration()
    delay.FromMilliseconds(max(1, round(retry_after_s * 1000)))
    return error_details_pb2.RetryInfo(retry_delay=delay)


def _request_info(request_id: str) -> list[Message]:
    return [error_details_pb2.RequestInfo(request_id=request_id)] if request_id else []
