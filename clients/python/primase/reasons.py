"""The one table of errors: how each reason is sent over gRPC and HTTP, and whether a retry helps.

It is read from the options on `primase.errors.v1.ErrorReason`: written once, in the contract.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import grpc

from primase.errors.v1 import error_reason_pb2
from primase.options.v1 import rules_pb2

ERROR_DOMAIN = "primase"
PREFIX = "ERROR_REASON_"


@dataclass(frozen=True)
class Reason:
    """How one reason is sent. `name` is without the prefix `ERROR_REASON_`, as in `QUEUE_FULL`."""

    name: str
    code: grpc.StatusCode
    http_status: int
    retryable: bool


def _read_reasons() -> dict[str, Reason]:
    codes = {code.value[0]: code for code in grpc.StatusCode}
    reasons = {}
    for value in error_reason_pb2.ErrorReason.DESCRIPTOR.values:
        rules = value.GetOptions().Extensions[rules_pb2.error]
        name = value.name.removeprefix(PREFIX)
        reasons[name] = Reason(name, codes[rules.code], rules.http_status, rules.retryable)
    return reasons


REASONS: Mapping[str, Reason] = MappingProxyType(_read_reasons())
