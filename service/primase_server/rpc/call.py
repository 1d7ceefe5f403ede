"""One call in progress, as the concerns around it see it."""

import re
import time
import uuid
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar

import grpc

from primase_server.access.caller import ANONYMOUS, Caller
from primase_server.engine.events import Timings
from primase_server.engine.job import NO_RETRY, Retry
from primase_server.models.registry import Registry, ServedModel

PRECISION_UNVERIFIED = ("x-primase-precision", "unverified")
"""Stands before each answer of a model whose numbers are not known to be right on its device."""

UNUSED = "x-primase-unused-tokens"
"""Of those that a caller's quotas gave for a call, behind the answer of a replica."""

ATTEMPTS_HEADER = "grpc-previous-rpc-attempts"
"""How often a client's gRPC has tried this call before."""

BACK_HEADER = "x-primase-is-back"
"""The same of a call that is made for another; of one over REST it is not known, and may be so."""

TURN_HEADER = "x-primase-has-turn"
"""Another replica has told the caller when to come back, unless this one takes the call."""

REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")

OK = "OK"

T = TypeVar("T")

Context = grpc.aio.ServicerContext[Any, Any]

_current: ContextVar["Call"] = ContextVar("primase_call")


@dataclass
class Spent:
    """Where the time of a call's work went, in seconds since it was let into the queue.

    queue_s: until the first of it began. end_s: until the last result. num_steps: on the device.
    """

    queue_s: float
    end_s: float
    num_steps: int = 0

    @property
    def compute_s(self) -> float:
        """From the first work to the last result."""
        return self.end_s - self.queue_s


@dataclass
class Call:
    """Identity, clock and outcome of one call. `outcome` is `OK` or an error reason.

    model: the configured name of the one that is asked, once it is found. edition: of the model's
    weights that the whole call is answered from. admitted_s: from the
    call's arrival until its work was in the queue. first_token_s: until its first token was there.
    num_unused_tokens: of a replica's call, for the books that its front end keeps. retry: what its
    caller has been told before.
    """

    method: str
    context: Context
    request_id: str
    started_s: float = field(default_factory=time.monotonic)
    outcome: str = OK
    is_precision_unverified: bool = False
    model: str = ""
    edition: int = 0
    admitted_s: float = 0.0
    spent: Spent | None = None
    first_token_s: float | None = None
    num_unused_tokens: int = 0
    caller: Caller = ANONYMOUS
    retry: Retry = NO_RETRY
    _held: ServedModel | None = None

    @classmethod
    def of(cls, method: str, context: Context) -> "Call":
        """A call named by its caller's `x-request-id`, or by a new name."""
        metadata = {str(key): str(value) for key, value in context.invocation_metadata() or ()}
        given = metadata.get("x-request-id", "")
        request_id = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        is_back = not metadata.keys().isdisjoint((ATTEMPTS_HEADER, BACK_HEADER))
        retry = Retry(is_back, has_turn=TURN_HEADER in metadata)
        return cls(method, context, request_id, retry=retry)

    @property
    def request_id_header(self) -> tuple[str, str]:
        """What tells the caller the request id; sent last, since a call that has sent anything
        can no longer be retried by the caller's library."""
        return ("x-request-id", self.request_id)

    @property
    def trailers(self) -> tuple[tuple[str, str], ...]:
        """What is sent behind an answer: the request id, and where the time went."""
        spent_ms = {"total": self.elapsed_ms}
        if self.spent is not None:
            spent_ms["queue"] = self.spent.queue_s * 1000
            spent_ms["compute"] = self.spent.compute_s * 1000
        if self.first_token_s is not None:
            spent_ms["ttft"] = self.first_token_s * 1000
        timings = ((f"x-primase-{name}-ms", f"{ms:.1f}") for name, ms in spent_ms.items())
        told = (self.request_id_header, *timings)
        return (*told, (UNUSED, str(self.num_unused_tokens))) if self.num_unused_tokens else told

    def note(self, timings: Timings) -> None:
        """Add an item's times to the call's."""
        spent = self.spent or Spent(timings.queue_s, timings.total_s)
        self.spent = Spent(
            min(spent.queue_s, timings.queue_s),
            max(spent.end_s, timings.total_s),
            max(spent.num_steps, timings.num_steps),
        )

    def note_admitted(self) -> None:
        """Its work is in the queue."""
        self.admitted_s = self.elapsed_ms / 1000

    def note_first_token(self) -> None:
        """There is a token."""
        if self.first_token_s is None:
            self.first_token_s = self.elapsed_ms / 1000

    async def begin_answer(self) -> None:
        """Send what stands before an answer, which is nothing for most."""
        if self.is_precision_unverified:
            await self.context.send_initial_metadata((PRECISION_UNVERIFIED,))

    def hold(self, served: ServedModel) -> None:
        """Keep the weights that answer now until the call has ended, whatever comes after them."""
        self.release()
        self._held, self.edition = served, served.edition
        served.calls.begin(served.edition)

    def release(self) -> None:
        """The call needs no weights any more."""
        if self._held is not None:
            self._held.calls.end(self.edition)
            self._held = None

    @property
    def deadline_s(self) -> float | None:
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
    call = current_call()
    call.model = registry.find(name).name
    served, runner = registry.ready(name, kind)
    call.hold(served)
    if served.precision_doubt:
        call.is_precision_unverified = True
    return served, runner


def current_call() -> Call:
    """The call that this task is answering. Raises LookupError outside of one."""
    return _current.get()
