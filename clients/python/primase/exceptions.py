"""Everything a call can raise, or an item of a call can carry, as one tree.

    PrimaseError
    ├── InvalidRequest          INVALID_PARAMETER, and any other INVALID_ARGUMENT
    │   ├── InvalidSequence     INVALID_SEQUENCE
    │   ├── SequenceTooLong     SEQUENCE_TOO_LONG
    │   ├── TooManyItems        TOO_MANY_ITEMS
    │   └── UnknownLayer        UNKNOWN_LAYER
    ├── UnknownModel            UNKNOWN_MODEL
    ├── Unavailable             SHUTTING_DOWN, and any other UNAVAILABLE: nobody listens there
    │   ├── ModelNotReady       MODEL_NOT_READY
    │   └── ScreeningUnavailable  SCREENING_UNAVAILABLE
    ├── PrecisionUnverified     PRECISION_UNVERIFIED
    ├── OutputUnavailable       OUTPUT_UNAVAILABLE
    ├── ResponseTooLarge        RESPONSE_TOO_LARGE
    ├── RequestTooLarge         REQUEST_TOO_LARGE
    ├── QueueFull               QUEUE_FULL
    ├── QuotaExceeded           QUOTA_EXCEEDED
    ├── OutOfMemory             OUT_OF_MEMORY
    ├── DeadlineExceeded        DEADLINE_TOO_SHORT, DEADLINE_EXPIRED, and the client's own timeout
    ├── Cancelled               CANCELLED
    ├── Unauthenticated         UNAUTHENTICATED
    ├── PermissionDenied        PERMISSION_DENIED
    ├── SequenceRefused         SEQUENCE_REFUSED
    ├── NotServed               NOT_SERVED, and any other UNIMPLEMENTED
    ├── ModelExists             MODEL_EXISTS
    ├── ModelBusy               MODEL_BUSY
    ├── InsufficientMemory      INSUFFICIENT_MEMORY
    ├── LoadFailed              MODEL_LOAD_FAILED
    ├── InternalError           INTERNAL
    └── BrokenAnswer            the answer does not follow the contract; raised by the client itself

The names in capitals are values of `primase.errors.v1.ErrorReason`, found in `error.reason`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import grpc


class Violation(NamedTuple):
    """One thing wrong with one field: `field` is a path such as `items[3].sequence`."""

    field: str
    description: str
    reason: str = ""


class PrimaseError(Exception):
    """Base of every error of a call.

    code: gRPC status code.
    reason: name of the `ErrorReason`, empty where the error did not come from a Primase server.
    retryable: the same call can succeed later; `retry_after_s` says when, where the server knows.
    violations: what is wrong with which field.
    request_id: the server's name of the call, to be found in its log.
    """

    def __init__(
        self,
        message: str,
        code: grpc.StatusCode = grpc.StatusCode.UNKNOWN,
        reason: str = "",
        retryable: bool = False,
        retry_after_s: float | None = None,
        violations: tuple[Violation, ...] = (),
        request_id: str = "",
    ) -> None:
        # All of them as arguments of the exception, so that it can be pickled.
        super().__init__(message, code, reason, retryable, retry_after_s, violations, request_id)
        self.message = message
        self.code = code
        self.reason = reason
        self.retryable = retryable
        self.retry_after_s = retry_after_s
        self.violations = violations
        self.request_id = request_id

    def __str__(self) -> str:
        return self.message


class InvalidRequest(PrimaseError):
    """The request itself is wrong; `violations` name each field and what is wrong with it."""


class InvalidSequence(InvalidRequest):
    """A sequence holds a character, or lacks one, that the model's alphabet does not allow."""


class SequenceTooLong(InvalidRequest):
    """A sequence is longer than the model or the server allows."""


class TooManyItems(InvalidRequest):
    """More items than one call may carry."""


class UnknownLayer(InvalidRequest):
    """The model has no such layer or attention head."""


class UnknownModel(PrimaseError):
    """No model of that name is served there."""


class Unavailable(PrimaseError):
    """The server cannot be reached, or takes no work now."""


class ModelNotReady(Unavailable):
    """The model is loading, or failed to load."""


class ScreeningUnavailable(Unavailable):
    """The server's operator screens what is generated, and there was no verdict on this."""


class PrecisionUnverified(PrimaseError):
    """The model's numbers are not proven right on the server's device."""


class OutputUnavailable(PrimaseError):
    """The loaded weights cannot give this output, such as contacts without their regression."""


class ResponseTooLarge(PrimaseError):
    """The answer does not fit one message."""


class RequestTooLarge(PrimaseError):
    """The request is larger than the server takes."""


class QueueFull(PrimaseError):
    """The model's queue has no room now."""


class QuotaExceeded(PrimaseError):
    """The caller's own quota is spent."""


class OutOfMemory(PrimaseError):
    """The server's device could not hold the work."""


class DeadlineExceeded(PrimaseError):
    """The work was not done in time, or could not have been."""


class Cancelled(PrimaseError):
    """The call was given up."""


class Unauthenticated(PrimaseError):
    """The call carries no valid key."""


class PermissionDenied(PrimaseError):
    """The key does not allow this call."""


class SequenceRefused(PrimaseError):
    """The server's operator screens what is generated, and does not allow this."""


class NotServed(PrimaseError):
    """The server does not answer this call."""


class ModelExists(PrimaseError):
    """A model of that name is served there already."""


class ModelBusy(PrimaseError):
    """Something else is being done to the model now."""


class InsufficientMemory(PrimaseError):
    """The weights would not fit in the memory that the server has free."""


class LoadFailed(PrimaseError):
    """The server could not load the weights; the text says why."""


class InternalError(PrimaseError):
    """A fault of the server."""


class BrokenAnswer(PrimaseError):
    """The server's answer does not follow the contract."""


BY_REASON: Mapping[str, type[PrimaseError]] = MappingProxyType(
    {
        "INVALID_SEQUENCE": InvalidSequence,
        "SEQUENCE_TOO_LONG": SequenceTooLong,
        "TOO_MANY_ITEMS": TooManyItems,
        "INVALID_PARAMETER": InvalidRequest,
        "UNKNOWN_MODEL": UnknownModel,
        "MODEL_NOT_READY": ModelNotReady,
        "PRECISION_UNVERIFIED": PrecisionUnverified,
        "UNKNOWN_LAYER": UnknownLayer,
        "RESPONSE_TOO_LARGE": ResponseTooLarge,
        "QUEUE_FULL": QueueFull,
        "OUT_OF_MEMORY": OutOfMemory,
        "DEADLINE_TOO_SHORT": DeadlineExceeded,
        "UNAUTHENTICATED": Unauthenticated,
        "PERMISSION_DENIED": PermissionDenied,
        "QUOTA_EXCEEDED": QuotaExceeded,
        "INTERNAL": InternalError,
        "DEADLINE_EXPIRED": DeadlineExceeded,
        "CANCELLED": Cancelled,
        "SHUTTING_DOWN": Unavailable,
        "NOT_SERVED": NotServed,
        "OUTPUT_UNAVAILABLE": OutputUnavailable,
        "REQUEST_TOO_LARGE": RequestTooLarge,
        "SEQUENCE_REFUSED": SequenceRefused,
        "SCREENING_UNAVAILABLE": ScreeningUnavailable,
        "MODEL_EXISTS": ModelExists,
        "MODEL_BUSY": ModelBusy,
        "INSUFFICIENT_MEMORY": InsufficientMemory,
        "MODEL_LOAD_FAILED": LoadFailed,
    }
)

# For errors that name no reason we know: those of gRPC itself, of proxies, of newer servers.
BY_CODE: Mapping[grpc.StatusCode, type[PrimaseError]] = MappingProxyType(
    {
        grpc.StatusCode.INVALID_ARGUMENT: InvalidRequest,
        grpc.StatusCode.UNAVAILABLE: Unavailable,
        grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
        grpc.StatusCode.CANCELLED: Cancelled,
        grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
        grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
        grpc.StatusCode.UNIMPLEMENTED: NotServed,
        grpc.StatusCode.INTERNAL: InternalError,
    }
)
