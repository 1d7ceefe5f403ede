"""The one way to refuse a request; each dialect writes it in its own words."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar, cast

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from primase.reasons import ERROR_DOMAIN, REASONS

Path = tuple[str | int, ...]
Detail = TypeVar("Detail", bound=Message)

# What an error without a reason of ours means: it comes from the transport, not from the service.
TRANSPORT_REASONS: Mapping[grpc.StatusCode, tuple[str, str]] = {
    grpc.StatusCode.UNAVAILABLE: ("MODEL_NOT_READY", "the model service cannot be reached"),
    grpc.StatusCode.DEADLINE_EXCEEDED: ("DEADLINE_EXPIRED", "the deadline passed"),
    grpc.StatusCode.CANCELLED: ("CANCELLED", "the call was cancelled"),
    grpc.StatusCode.RESOURCE_EXHAUSTED: ("REQUEST_TOO_LARGE", "the message is too large"),
    grpc.StatusCode.UNIMPLEMENTED: ("NOT_SERVED", "the model service does not know this call"),
}
UNKNOWN_FAULT = ("INTERNAL", "the model service failed")
RETRY_AFTER_S = 1.0


@dataclass(frozen=True)
class Violation:
    """One thing wrong with one field: `path` leads to it, as in `("items", 3, "sequence")`.

    `kind` names the rule as pydantic does, `given` is what the client sent there, and `context`
    holds the rule's own numbers: the hub's generation of the BioLM API tells all of them.
    """

    path: Path
    message: str
    kind: str = "value_error"
    given: object = None
    context: Mapping[str, object] = field(default_factory=dict)


class Refusal(Exception):
    """A request that gets no result. `reason` is a name of ErrorReason; `message` is safe to send.

    `status` is what the service said, where it was the service that refused. `http_status` is the
    reason's own unless given.
    """

    def __init__(
        self,
        reason: str,
        message: str,
        violations: Sequence[Violation] = (),
        *,
        retry_after_s: float | None = None,
        status: Status | None = None,
        http_status: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason = REASONS[reason]
        self.message = message
        self.violations = tuple(violations)
        self.retry_after_s = retry_after_s
        self.status = status
        self.http_status = http_status or self.reason.http_status
        self.headers = dict(headers or {})

    @property
    def retry_after_seconds(self) -> int:
        """Whole seconds for a Retry-After header, at least one."""
        return max(1, math.ceil(self.retry_after_s or RETRY_AFTER_S))

    @classmethod
    def of_field(cls, path: Path, message: str, reason: str = "INVALID_PARAMETER") -> "Refusal":
        """Refused for one field."""
        return cls(reason, message, [Violation(path, message)])


def from_rpc_error(error: grpc.aio.AioRpcError) -> Refusal:
    """The refusal that a failed call stands for."""
    status = _rich_status(error)
    if status is not None:
        return from_status(status)
    reason, message = TRANSPORT_REASONS.get(error.code(), UNKNOWN_FAULT)
    retry_after_s = RETRY_AFTER_S if REASONS[reason].retryable else None
    return Refusal(reason, message, retry_after_s=retry_after_s)


def from_status(status: Status, item_index: int | None = None) -> Refusal:
    """The refusal that a status stands for; `item_index` where the status is of one item."""
    reason = _reason(status)
    retry_after_s = _retry_after_s(status)
    if retry_after_s is None and REASONS[reason].retryable:
        retry_after_s = RETRY_AFTER_S
    violations = _violations(status)
    if item_index is not None and REASONS[reason].http_status == 400:
        violations = _of_item(violations, item_index) or [
            Violation(("items", item_index), status.message)
        ]
    return Refusal(reason, status.message, violations, retry_after_s=retry_after_s, status=status)


def merged(refusals: Sequence[Refusal]) -> Refusal:
    """One refusal for the batch of items refused one by one: a fault comes before bad input."""
    faults = [refusal for refusal in refusals if refusal.http_status != 400]
    if faults:
        return faults[0]
    violations = [violation for refusal in refusals for violation in refusal.violations]
    message = "; ".join(refusal.message for refusal in refusals)
    return Refusal(refusals[0].reason.name, message, violations)


def parse_path(field: str) -> Path:
    """`items[3].sequence` as `("items", 3, "sequence")`."""
    parts = re.findall(r"[^.\[\]]+", field)
    return tuple(int(part) if part.isdecimal() else part for part in parts)


def _rich_status(error: grpc.aio.AioRpcError) -> Status | None:
    try:
        status: Status | None = rpc_status.from_call(cast(grpc.Call, error))
    except ValueError:
        # The status and its details disagree, so the details are not to be trusted.
        return None
    return status


def _reason(status: Status) -> str:
    for info in _details(status, error_details_pb2.ErrorInfo):
        if info.domain == ERROR_DOMAIN and info.reason in REASONS:
            return info.reason
    codes = (code for code in grpc.StatusCode if code.value[0] == status.code)
    code = next(codes, grpc.StatusCode.UNKNOWN)
    return TRANSPORT_REASONS.get(code, UNKNOWN_FAULT)[0]


def _violations(status: Status) -> list[Violation]:
    return [
        Violation(parse_path(violation.field), violation.description)
        for bad_request in _details(status, error_details_pb2.BadRequest)
        for violation in bad_request.field_violations
    ]


def _of_item(violations: list[Violation], item_index: int) -> list[Violation]:
    item: Path = ("items", item_index)
    return [
        violation
        if violation.path[:1] == ("items",)
        else Violation(item + violation.path, violation.message)
        for violation in violations
    ]


def _retry_after_s(status: Status) -> float | None:
    for info in _details(status, error_details_pb2.RetryInfo):
        return info.retry_delay.ToTimedelta().total_seconds()
    return None


def _details(status: Status, kind: type[Detail]) -> Iterable[Detail]:
    for packed in status.details:
        detail = kind()
        if packed.Unpack(detail):
            yield detail
