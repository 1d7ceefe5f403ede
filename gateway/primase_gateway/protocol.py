"""HTTP/1.1 as uvicorn speaks it, with bounds on what a client sends, and how slowly it reads."""

import asyncio
import sys
from typing import Any, cast

import h11
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

from primase_gateway.pace import PacedTransport
from primase_gateway.settings import Settings
from primase_gateway.spare import Spare

MAX_HEAD_BYTES = 64 * 1024
"""Of the request line with all headers; more is answered 431."""

NUM_SPARE = 64
"""Connections beyond the limit that are still answered, though not with work."""

SPARE_REQUEST_S = 5.0
RETRY_AFTER_S = 1


class PromptProtocol(H11Protocol):
    """One connection. A request whose head, or whose body, takes its client too long is answered
    408, and the connection is closed; so is one on which nothing is ever asked. One whose client
    does not read its answer is cut off. Beyond `max_connections` there are some spare ones, which
    tell health and are else refused, and beyond these all are closed.

    uvicorn itself watches only connections that wait between two requests.
    """

    request_s = 60.0
    read_s = 30.0
    max_connections = 900

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._timer: asyncio.TimerHandle | None = None
        self._awaited: object = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Called by asyncio."""
        self._paced = PacedTransport(transport, self.read_s)
        super().connection_made(cast("asyncio.Transport", self._paced))
        num_beyond = len(self.connections) - self.max_connections
        if num_beyond > NUM_SPARE:
            self._refuse(503, "There are too many connections.")
            return
        if num_beyond > 0:
            self.app = Spare(self.app)
            self.request_s = min(self.request_s, SPARE_REQUEST_S)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """Called by uvicorn; what was sent ahead of time is handled now."""
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio."""
        self._stop_timer()
        self._paced.stop_timing()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Called by uvicorn for what is not HTTP; h11 knows which status says it better."""
        error = sys.exc_info()[1]
        hint = error.error_status_hint if isinstance(error, h11.RemoteProtocolError) else 400
        self._refuse(hint, msg)

    def _watch(self) -> None:
        """Time each head and each body from when the client could first have sent it."""
        awaited = self._next_awaited()
        if awaited != self._awaited:
            self._stop_timer()
            self._awaited = awaited
            if awaited is not None:
                self._timer = self.loop.call_later(self.request_s, self._lose_patience)

    def _next_awaited(self) -> object:
        if self.transport.is_closing():
            return None
        state = self.conn.their_state
        # uvicorn has no cycle before the first request, whatever it declares
        is_first = self.cycle is None
        has_begun = is_first or bool(self.conn.trailing_data[0])
        if state is h11.SEND_BODY or (state is h11.IDLE and has_begun):
            return state, self.cycle
        return None

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _lose_patience(self) -> None:
        self._refuse(408, f"The request was not complete after {self.request_s:g} seconds.")

    def _refuse(self, status_code: int, text: str) -> None:
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            headers = [("content-type", "text/plain; charset=utf-8"), ("connection", "close")]
            if status_code == 503:
                headers.append(("retry-after", str(RETRY_AFTER_S)))
            reason = STATUS_PHRASES[status_code]
            for event in (
                h11.Response(status_code=status_code, headers=headers, reason=reason),
                h11.Data(data=text.encode()),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event))
        self.transport.close()


def prompt_protocol(settings: Settings) -> type[PromptProtocol]:
    """The class for uvicorn, which makes its instances itself."""
    bounds = {
        "request_s": settings.request_s,
        "read_s": settings.read_s,
        "max_connections": settings.max_connections,
    }
    return type("PromptProtocol", (PromptProtocol,), bounds)
