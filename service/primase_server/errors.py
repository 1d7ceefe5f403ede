"""Everything that can go wrong with a request, as one tree.

    PrimaseError
    ├── InvalidRequest              INVALID_PARAMETER
    │   ├── InvalidSequence         INVALID_SEQUENCE
    │   ├── SequenceTooLong         SEQUENCE_TOO_LONG
    │   ├── TooManyItems            TOO_MANY_ITEMS
    │   └── UnknownLayer            UNKNOWN_LAYER
    ├── UnknownModel                UNKNOWN_MODEL
    ├── ModelNotReady               MODEL_NOT_READY
    │   └── PrecisionUnverified     PRECISION_UNVERIFIED
    ├── OutputUnavailable           OUTPUT_UNAVAILABLE
    ├── ResponseTooLarge            RESPONSE_TOO_LARGE
    ├── RequestTooLarge             REQUEST_TOO_LARGE
    ├── QueueFull                   QUEUE_FULL
    ├── QuotaExceeded               QUOTA_EXCEEDED
    ├── OutOfMemory                 OUT_OF_MEMORY
    ├── DeadlineTooShort            DEADLINE_TOO_SHORT
    ├── DeadlineExpired             DEADLINE_EXPIRED
    ├── Cancelled                   CANCELLED
    ├── ShuttingDown                SHUTTING_DOWN
    ├── Unauthenticated             UNAUTHENTICATED
    ├── PermissionDenied            PERMISSION_DENIED
    ├── SequenceRefused             SEQUENCE_REFUSED
    ├── ScreeningUnavailable        SCREENING_UNAVAILABLE
    ├── NotServed                   NOT_SERVED
    ├── ModelExists                 MODEL_EXISTS
    ├── ModelBusy                   MODEL_BUSY
    ├── InsufficientMemory          INSUFFICIENT_MEMORY
    ├── LoadFailed                  MODEL_LOAD_FAILED
    └── InternalError               INTERNAL
        └── NotFinite               INTERNAL

Each class names its reason, a value of `primase.errors.v1.ErrorReason`; the gRPC code, the HTTP
status and whether a retry can help are options on that value: written once, in the contract.
"""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Violation:
    """One thing wrong with one field: `field` is a path such as `items[3].sequence`."""

    field: str
    description: str
    reason: str = "INVALID_PARAMETER"


class PrimaseError(Exception):
    """Base of every error a caller may see; `str(error)` is safe to send to them."""

    reason: ClassVar[str]

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidRequest(PrimaseError):
    """The request itself is wrong; `violations` name each field and what is wrong with it."""

    reason = "INVALID_PARAMETER"

    def __init__(self, *violations: Violation) -> None:
        super().__init__("; ".join(f"{v.field}: {v.description}" for v in violations))
        self.violations = violations

    @classmethod
    def at(cls, field: str, description: str) -> "InvalidRequest":
        """One violation with this class's own reason."""
        return cls(Violation(field, description, cls.reason))

    def under(self, prefix: str) -> "InvalidRequest":
        """The same error, of the same class, with `prefix.` before every field path."""
        return type(self)(
            *(Violation(f"{prefix}.{v.field}", v.description, v.reason) for v in self.violations)
        )


class InvalidSequence(InvalidRequest):
    """A sequence holds a character, or lacks one, that the model's alphabet does not allow."""

    reason = "INVALID_SEQUENCE"


class SequenceTooLong(InvalidRequest):
    """A sequence passes the model's or the server's length limit."""

    reason = "SEQUENCE_TOO_LONG"


class TooManyItems(InvalidRequest):
    """A request carries more items than one call may."""

    reason = "TOO_MANY_ITEMS"


class UnknownLayer(InvalidRequest):
    """A layer number, layer name or attention head that the model does not have."""

    reason = "UNKNOWN_LAYER"


class UnknownModel(PrimaseError):
    """No model of that name is served."""

    reason = "UNKNOWN_MODEL"

    def __init__(self, model: str, served: tuple[str, ...] = ()) -> None:
        known = ", ".join(served) or "none"
        super().__init__(f"model {model[:128]!r} is not served here; served: {known}")
        self.model = model


class ModelNotReady(PrimaseError):
    """The model is configured but still loading, or failed to load."""

    reason = "MODEL_NOT_READY"

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class PrecisionUnverified(ModelNotReady):
    """The model's numbers are not proven right on this device."""

    reason = "PRECISION_UNVERIFIED"


class OutputUnavailable(PrimaseError):
    """The loaded weights cannot give what was asked for, such as contacts without their head."""

    reason = "OUTPUT_UNAVAILABLE"


class ResponseTooLarge(PrimaseError):
    """The answer does not fit one message; the text names size, limit and the RPC to use."""

    reason = "RESPONSE_TOO_LARGE"


class RequestTooLarge(PrimaseError):
    """The request passes a byte limit."""

    reason = "REQUEST_TOO_LARGE"


class QueueFull(PrimaseError):
    """The model's queue has no room for this work now."""

    reason = "QUEUE_FULL"

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class QuotaExceeded(PrimaseError):
    """The caller's own quota is spent; `subject` says whose, such as `key:lab`."""

    reason = "QUOTA_EXCEEDED"

    def __init__(self, message: str, retry_after_s: float, subject: str = "") -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.subject = subject


class OutOfMemory(PrimaseError):
    """The device could not hold this work."""

    reason = "OUT_OF_MEMORY"


class DeadlineTooShort(PrimaseError):
    """The work in front of this request will take longer than its deadline allows."""

    reason = "DEADLINE_TOO_SHORT"


class DeadlineExpired(PrimaseError):
    """The deadline passed before the work was done."""

    reason = "DEADLINE_EXPIRED"


class Cancelled(PrimaseError):
    """The caller gave the work up."""

    reason = "CANCELLED"


class ShuttingDown(PrimaseError):
    """The server is stopping and takes no new work."""

    reason = "SHUTTING_DOWN"


class Unauthenticated(PrimaseError):
    """The call carries no valid key."""

    reason = "UNAUTHENTICATED"


class PermissionDenied(PrimaseError):
    """The caller's key does not allow this call."""

    reason = "PERMISSION_DENIED"


class SequenceRefused(PrimaseError):
    """The operator's screening does not allow a sample; `code` is its own word for why."""

    reason = "SEQUENCE_REFUSED"

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"this server's screening does not allow the sample: {message or code}")
        self.code = code


class ScreeningUnavailable(PrimaseError):
    """There is no verdict on a sample, without which nothing of it may be told."""

    reason = "SCREENING_UNAVAILABLE"

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class NotServed(PrimaseError):
    """The contract has this call, but no model behind it is served here."""

    reason = "NOT_SERVED"


class ModelExists(PrimaseError):
    """A model has that name already."""

    reason = "MODEL_EXISTS"


class ModelBusy(PrimaseError):
    """Something else is being done to the model."""

    reason = "MODEL_BUSY"


class InsufficientMemory(PrimaseError):
    """The weights would not fit in the memory that is free."""

    reason = "INSUFFICIENT_MEMORY"


class LoadFailed(PrimaseError):
    """The weights could not be loaded; says why, for an operator's eyes."""

    reason = "MODEL_LOAD_FAILED"


class InternalError(PrimaseError):
    """A fault of ours; the text tells the caller nothing about our insides."""

    reason = "INTERNAL"


class NotFinite(InternalError):
    """The model gave numbers that are not finite, which nobody can use."""

    def __init__(self) -> None:
        super().__init__("the model gave numbers that are not finite")
