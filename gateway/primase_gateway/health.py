"""Health over REST. Clients search the body for the word `ready`, so no other answer holds it."""

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from primase_gateway.gateway import Gateway
from primase_gateway.json_stream import MEDIA_TYPE

LIVE_PATH = "/v1/health/live"
READY_PATH = "/v1/health/ready"


def routes() -> list[Route]:
    """Each with and without the slash at its end."""
    handlers = ((LIVE_PATH, live), (READY_PATH, ready))
    return [Route(path + end, handler) for path, handler in handlers for end in ("", "/")]


async def live(request: Request) -> Response:
    """This process answers."""
    return _answer(200, "live")


async def ready(request: Request) -> Response:
    """Every configured model answers."""
    serving = await Gateway.of(request).service.serving()
    return _answer(200, "ready") if serving else _answer(503, "starting")


def _answer(http_status: int, word: str) -> Response:
    return Response(orjson.dumps({"status": word}), http_status, media_type=MEDIA_TYPE)
