"""One call in progress, as the concerns around it see it."""

import re
import time
import uuid
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar

import grpc

from primase_server.access.caller import ANONYMOUS, Caller
from primase_server.models.registry import Registry, ServedModel

PRECISION_UNVERIFIED = ("x-primase-precision", "unverified")
"""Stands before each answer of a model whose numbers are not known to be right on its device."""

REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")

T = TypeVar("T")

Context = grpc.aio.ServicerContext[Any, Any]

_current: ContextVar["Call"] = ContextVar("primase_call")


@dataclass
class Call:
    """Identity, clock and outcome of one call. `outcome` is `OK` or an error reason."""

    method: str
    context: Context
    request_id: str
    started_s: float = field(default_factory=time.monotonic)
    outcome: str = "OK"
    is_precision_unverified: bool = False

    @classmethod
    def of(cls, method: str, context: Context) -> "Call":
        """A call named by its caller's `x-request-id`, or by a new name."""
        metadata = {str(key): str(value) for key, value in context.invocation_metadata() or ()}
        given = metadata.get("x-request-id", "")
        request_id = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        return cls(method, context, request_id)

    @property
    def request_id_header(self) -> tuple[str, str]:
        """What tells the caller the request id; sent last, since a call that has sent anything
        can no longer be retried by the caller's library."""
        return ("x-request-id", self.request_id)

    async def begin_answer(self) -> None:
        """Send what stands before an answer, which is nothing for most."""
        if self.is_precision_unverified:
            await self.context.send_initial_metadata((PRECISION_UNVERIFIED,))

    @property
    def deadline_s(self) -> float | None:
    caller: Caller = ANONYMOUS
        """The caller's deadline on the clock of `time.monotonic`, or None where it set none."""
        remaining_s: float | None = self.context.time_remaining()
        return None if remaining_s is None else time.monotonic() + remaining_s

    @property
    def elapsed_ms(self) -> float:
        """Milliseconds of wall time since the call arrived."""
        return (time.monotonic() - self.started_s) * 1000


def begin_call(method: str, context: Context) -> Call:
    """A new call, which `current_call` then gives to whatever this task runs."""
    call = Call.of(method, context)
    _current.set(call)
    return call


def ready(registry: Registry, name: str, kind: type[T]) -> tuple[ServedModel, T]:
    """The model and its runner, for the call that this task is answering. Raises as the registry.

    The answer then says so where the model's precision is in doubt.
    """
    served, runner = registry.ready(name, kind)
    if served.precision_doubt:
        current_call().is_precision_unverified = True
    return served, runner


def current_call() -> Call:
    """The call that this task is answering. Raises LookupError outside of one."""
    return _current.get()
