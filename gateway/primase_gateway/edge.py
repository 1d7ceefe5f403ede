"""The outermost layer: names each request, logs it once, and lets no exception out."""

import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass, field

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from primase.models.v1 import model_service_pb2 as models_pb
from primase_gateway import timings, tracing
from primase_gateway.disconnect import ClientGone
from primase_gateway.tracing import Tracing, current_traceparent

logger = logging.getLogger(__name__)

REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
# What gRPC takes as metadata, and no longer than any key.
CREDENTIALS = re.compile(r"[\x20-\x7e]{1,512}")
MAX_LOGGED_PATH = 256
WEIGHTS_HEADER = "x-primase-weights"
PRECISION_HEADER = "x-primase-precision"
WEIGHTS_LABELS = {
    models_pb.WEIGHTS_SOURCE_DEMO: "demo",
    models_pb.WEIGHTS_SOURCE_FIXTURE: "demo",
    models_pb.WEIGHTS_SOURCE_RANDOM: "random",
}

current_request_id: ContextVar[str] = ContextVar("current_request_id", default="")
# The client's `authorization`, for whoever decides on it; empty where it sent none.
current_credentials: ContextVar[str] = ContextVar("current_credentials", default="")
# Headers of the answer that warn of its numbers; made anew for each request.
_marks: ContextVar[dict[str, str]] = ContextVar("marks")


def mark_weights(model: models_pb.Model) -> None:
    """Let the answer say so where the model's weights are not the real ones."""
    label = WEIGHTS_LABELS.get(model.weights.source)
    if label is not None:
        _marks.get({})[WEIGHTS_HEADER] = label


def mark_precision(metadata: Iterable[tuple[str, str | bytes]]) -> None:
    """Let the answer say so where the service, in its metadata, doubts the model's precision."""
    for key, value in metadata:
        if key == PRECISION_HEADER and isinstance(value, str):
            _marks.get({})[PRECISION_HEADER] = value


@dataclass
class _Exchange:
    """One request and what has been answered so far."""

    scope: Scope
    request_id: str
    started_s: float = field(default_factory=time.monotonic)
    status: int = 0
    num_bytes: int = 0
    marks: dict[str, str] = field(default_factory=dict)
    timings: dict[str, str] = field(default_factory=timings.begin)

    def note(self, message: Message) -> None:
        """Takes down an outgoing message, and signs it if it is the first."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["x-request-id"] = self.request_id
            headers.update(self.marks)
            if self.timings:
                headers[timings.HEADER] = timings.header(self.timings)
        elif message["type"] == "http.response.body":
            self.num_bytes += len(message.get("body", b""))

    @property
    def elapsed_s(self) -> float:
        """Since it arrived."""
        return time.monotonic() - self.started_s

    def log(self) -> None:
        """The one line of this request: no query, no body, no header of the client's but its id."""
        fields = {
            "method": self.scope["method"],
            "path": self.scope["path"][:MAX_LOGGED_PATH],
            "status": self.status,
            "ms": round(self.elapsed_s * 1000, 1),
            "bytes": self.num_bytes,
            "request_id": self.request_id,
        }
        fields |= {key.removeprefix("x-primase-"): label for key, label in self.marks.items()}
        logger.info("request", extra={"fields": fields})


class Edge:
    """ASGI middleware around everything else.

    fault: answers for an exception nobody foresaw. route_of: the pattern of the path that a request
    was found to have. count: is told of each request that has ended, its route, status and seconds.
    """

    def __init__(
        self,
        app: ASGIApp,
        fault: Callable[[Request], Response],
        route_of: Callable[[Scope], str],
        count: Callable[[Request, str, int, float], None],
        tracing: Tracing | None = None,
    ) -> None:
        self._app = app
        self._fault = fault
        self._route_of = route_of
        self._count = count
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, _request_id(scope))
        scope.setdefault("state", {})
        current_request_id.set(exchange.request_id)
        current_credentials.set(_credentials(scope))
        _marks.set(exchange.marks)
        traceparent = tracing.read(Headers(scope=scope).get(tracing.HEADER, ""))
        current_traceparent.set(traceparent)
        span = self._tracing.begin(traceparent, scope["method"]) if self._tracing else None

        async def noted_send(message: Message) -> None:
            exchange.note(message)
            await send(message)

        try:
            await self._guarded(exchange, receive, noted_send)
        finally:
            exchange.log()
            route = self._route_of(scope)
            self._count(Request(scope), route, exchange.status, exchange.elapsed_s)
            if self._tracing is not None and span is not None:
                self._tracing.end(span, route, exchange.status, exchange.request_id)

    async def _guarded(
        self, exchange: _Exchange, receive: Receive, send: Callable[[Message], Awaitable[None]]
    ) -> None:
        try:
            await self._app(exchange.scope, receive, send)
        except (ClientGone, ClientDisconnect):
            exchange.status = 499
        except Exception:
            # An answer that has begun and is left without its end closes the connection.
            logger.exception("fault", extra={"fields": {"request_id": exchange.request_id}})
            if not exchange.status:
                await self._fault(Request(exchange.scope))(exchange.scope, receive, send)


def _credentials(scope: Scope) -> str:
    given = Headers(scope=scope).get("authorization", "")
    return given if CREDENTIALS.fullmatch(given) else ""


def _request_id(scope: Scope) -> str:
    given = Headers(scope=scope).get("x-request-id", "")
    return given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
