"""One call of a client, and the replicas that it is tried on."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import structlog
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from primase.reasons import ERROR_DOMAIN, REASONS
from primase_gateway.tracing import HEADER as TRACE_HEADER
from primase_server.cluster.links import Link
from primase_server.cluster.remote_engine import RemoteEngine
from primase_server.cluster.replicas import ReplicaHandle
from primase_server.cluster.router import NoReplica
from primase_server.cluster.trust import (
    ASKED_OF_QUOTAS,
    CALLER_HEADER,
    QUOTA_HEADER,
    TOKEN_HEADER,
)
from primase_server.engine.quotas import NoShare, Share
from primase_server.errors import (
    DeadlineExpired,
    InternalError,
    ModelNotReady,
    PrimaseError,
)
from primase_server.models.registry import ServedModel
from primase_server.rpc.call import (
    BACK_HEADER,
    PRECISION_UNVERIFIED,
    TURN_HEADER,
    UNUSED,
    Call,
    Spent,
)
from primase_server.rpc.concerns import PUSHBACK_HEADER
from primase_server.rpc.status import GivenStatus

log = structlog.get_logger()

# A request that ends processes must not end all of them.
MOST_LOST = 3
# Where so many have no room there is hardly any, and a request may be large.
MOST_REFUSED = 4
# Another replica takes the call at once, or it waits for one.
LOST_RETRY_S = 0.1

TRY_ANOTHER = ("QUEUE_FULL", "MODEL_NOT_READY", "SHUTTING_DOWN")
NEVER_ADMITTED = (*TRY_ANOTHER, "DEADLINE_TOO_SHORT", "REQUEST_TOO_LARGE")

LOST = (grpc.aio.AioRpcError, asyncio.CancelledError)
"""How a call on a link ends that has no answer: by either, where its replica is gone."""

Metadata = tuple[tuple[str, str], ...]


class Attempts:
    """Where one call goes, until a replica takes it.

    async with attempts.whole():
        while True:
            async with attempts.next() as link:
                try: ... the call on link ...
                except LOST as error:
                    attempts.failed(link, error)  # raises unless it is to be tried again
    """

    def __init__(
        self, engine: RemoteEngine, call: Call, model: ServedModel, num_tokens: int, token: str
    ) -> None:
        self.has_answered = False
        self._engine = engine
        self._call = call
        self._model = model
        self._num_tokens = num_tokens
        self._token = token
        self._deadline_s = call.deadline_s
        self._refusals: dict[str, GivenStatus] = {}
        self._lost_with: list[ReplicaHandle] = []
        self._num_taken = 0
        self._num_unused = 0
        self._share: Share = NoShare()
        self._sent_ms = 0.0

    @property
    def timeout_s(self) -> float | None:
        """Until the caller's deadline."""
        return None if self._deadline_s is None else max(0.0, self._deadline_s - time.monotonic())

    @property
    def metadata(self) -> Metadata:
        """With which the call goes to a replica."""
        call = self._call
        told = [(TOKEN_HEADER, self._token), call.request_id_header]
        if call.caller.name:
            told.append((CALLER_HEADER, call.caller.name))
        if call.caller.quotas is not None:
            told.append((QUOTA_HEADER, str(self._num_taken)))
        if call.retry.is_back:
            told.append((BACK_HEADER, "1"))
        if self._refusals:
            told.append((TURN_HEADER, "1"))
        for name, value in call.context.invocation_metadata() or ():
            if name == TRACE_HEADER:
                told.append((TRACE_HEADER, str(value)))
        return tuple(told)

    @asynccontextmanager
    async def whole(self) -> AsyncIterator[None]:
        """All attempts: what the caller's quotas gave is given back as it should be."""
        try:
            yield
        except PrimaseError as error:
            reason = error.given_reason if isinstance(error, GivenStatus) else error.reason
            if reason in NEVER_ADMITTED and not self.has_answered:
                self._share.give_back()
            raise
        finally:
            self._share.end(self._num_unused)

    @asynccontextmanager
    async def next(self) -> AsyncIterator[Link]:
        """A replica to try; raises the least of the refusals where there is no other."""
        lent = self._engine.lent(
            self._model,
            self._num_tokens,
            self._refusals.keys(),
            self._lost_with,
            self._deadline_s,
        )
        try:
            link = await lent.__aenter__()
        except NoReplica:
            raise min(self._refusals.values(), key=_retry_after_s) from None
        self._sent_ms = self._call.elapsed_ms
        self._call.note_admitted()
        try:
            yield link
        except asyncio.CancelledError:
            # One that we gave up looks as one that the caller gave up.
            if link.given_up is not None:
                raise link.given_up from None
            raise
        finally:
            await lent.__aexit__(None, None, None)

    async def begins(self, rpc: grpc.aio.Call) -> None:
        """The answer is here, or the first of it: note what stands before it."""
        self.has_answered = True
        if PRECISION_UNVERIFIED in tuple(await rpc.initial_metadata()):
            self._call.is_precision_unverified = True

    async def ended(self, rpc: grpc.aio.Call) -> None:
        """All of it is here: note where the time went."""
        self._note(await rpc.trailing_metadata())

    def failed(self, link: Link, error: grpc.aio.AioRpcError | asyncio.CancelledError) -> None:
        """Raise what the caller is told, unless another attempt is to be made."""
        if isinstance(error, asyncio.CancelledError):
            if _is_cancelled():
                raise error
            self._lost(link, grpc.StatusCode.CANCELLED)
            return
        self._note(error.trailing_metadata())
        status = rpc_status.from_call(error)  # type: ignore[arg-type]  # it has what is asked of it
        reason = _reason(status) if status is not None else ""
        if status is None or not reason:
            self._lost(link, error.code())
            return
        if (num_tokens := _asked_of_quotas(status)) is not None:
            self._take(num_tokens)
            return
        pushback = dict(error.trailing_metadata()).get(PUSHBACK_HEADER, "")
        given = GivenStatus(status, reason, str(pushback))
        if reason not in TRY_ANOTHER or self.has_answered:
            raise given
        self._refusals[link.handle.replica_id] = given
        if len(self._refusals) >= MOST_REFUSED:
            raise min(self._refusals.values(), key=_retry_after_s)

    def _lost(self, link: Link, code: grpc.StatusCode) -> None:
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            raise DeadlineExpired("the deadline passed before the work was done")
        if link.given_up is not None:
            raise link.given_up
        log.warning(
            "replica_lost_a_call",
            replica=link.handle.replica_id,
            code=code.name,
            request_id=self._call.request_id,
        )
        self._lost_with.append(link.handle)
        self._engine.suspect(link.handle)
        if self.has_answered or len(self._lost_with) >= MOST_LOST:
            raise ModelNotReady(
                f"model {self._model.name!r}: the process that answered was lost", LOST_RETRY_S
            )

    def _take(self, num_tokens: int) -> None:
        quotas = self._call.caller.quotas
        if quotas is None or num_tokens <= self._num_taken:
            raise InternalError("a replica asked for tokens that nobody has to give")
        self._share.give_back()
        self._share = quotas.take(num_tokens)
        self._num_taken = num_tokens

    def _note(self, metadata: object) -> None:
        if not isinstance(metadata, grpc.aio.Metadata):
            return
        spent = {
            name.removeprefix("x-primase-").removesuffix("-ms"): float(value) / 1000
            for name, value in metadata
            if name.startswith("x-primase-") and name.endswith("-ms")
        }
        self._num_unused = int(dict(metadata).get(UNUSED, 0))
        if "queue" in spent and "compute" in spent:
            self._call.spent = Spent(spent["queue"], spent["queue"] + spent["compute"])
        if "ttft" in spent:
            self._call.first_token_s = self._sent_ms / 1000 + spent["ttft"]


def _is_cancelled() -> bool:
    """Whether it is the caller who gives up, and not a channel that was closed under the call."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _reason(status: status_pb2.Status) -> str:
    """The reason of ours, or empty."""
    info = error_details_pb2.ErrorInfo()
    for packed in status.details:
        if packed.Unpack(info) and info.domain == ERROR_DOMAIN and info.reason in REASONS:
            return info.reason
    return ""


def _asked_of_quotas(status: status_pb2.Status) -> int | None:
    failure = error_details_pb2.QuotaFailure()
    for packed in status.details:
        if packed.Unpack(failure) and failure.violations[0].subject == ASKED_OF_QUOTAS:
            return int(failure.violations[0].description)
    return None


def _retry_after_s(refusal: GivenStatus) -> float:
    retry = error_details_pb2.RetryInfo()
    for packed in refusal.status.details:
        if packed.Unpack(retry):
            return retry.retry_delay.ToTimedelta().total_seconds()
    return float("inf")
