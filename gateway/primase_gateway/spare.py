"""Connections beyond the limit: health and metrics are told, all else is refused at once."""

from collections.abc import Callable

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from primase_gateway import health, nim_about
from primase_gateway.errors import Refusal

STATE = "is_spare"
OPEN_PATHS = frozenset({health.LIVE_PATH, health.READY_PATH, nim_about.METRICS_PATH})
MESSAGE = "there are too many connections"
RETRY_AFTER_S = 1.0


class Spare:
    """The application for one such connection, which is closed with its first answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, and let go."""

        async def closing(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["connection"] = "close"
            await send(message)

        scope["state"][STATE] = True
        await self._app(scope, receive, closing)


class RefuseWork:
    """ASGI middleware inside of the edge, where refusals are counted; `refused` words them."""

    def __init__(self, app: ASGIApp, refused: Callable[[Request, Refusal], Response]) -> None:
        self._app = app
        self._refused = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on what may be asked."""
        app = self._app
        is_spare = scope["type"] == "http" and scope.get("state", {}).get(STATE, False)
        if is_spare and scope["path"].rstrip("/") not in OPEN_PATHS:
            refusal = Refusal("QUEUE_FULL", MESSAGE, retry_after_s=RETRY_AFTER_S)
            app = self._refused(Request(scope), refusal)
        await app(scope, receive, send)
