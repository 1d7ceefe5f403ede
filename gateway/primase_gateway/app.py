"""The application: routes, the edge around them, and how each dialect says no."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Scope

from primase_gateway import (
    biolm_catalogue,
    biolm_schema,
    front,
    health,
    native,
    native_errors,
    nim,
    nim_about,
    nim_errors,
    openapi,
    timings,
    tracing,
)
from primase_gateway.biolm_dialects import DIALECTS, V1, V2, V3
from primase_gateway.biolm_errors import hosted_body, hub_body
from primase_gateway.edge import PRECISION_HEADER, WEIGHTS_HEADER, Edge
from primase_gateway.errors import Refusal
from primase_gateway.gateway import Gateway
from primase_gateway.json_stream import MEDIA_TYPE
from primase_gateway.settings import Settings
from primase_gateway.spare import RefuseWork

FAULT = "the gateway failed"
AUTHENTICATE = {"www-authenticate": "Token"}
# What a page may read of an answer's headers.
EXPOSED = ("x-request-id", "retry-after", WEIGHTS_HEADER, PRECISION_HEADER, timings.HEADER)


def create_app(settings: Settings) -> Starlette:
    """An ASGI application; it connects to the service when it starts up."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[Mapping[str, Gateway]]:
        gateway = Gateway.connect(settings)
        try:
            yield {"gateway": gateway}
        finally:
            await gateway.service.close()
            if spans is not None:
                await asyncio.to_thread(spans.close)

    routes = _routes()
    templates: dict[Any, str] = {route.endpoint: route.path.rstrip("/") for route in routes}

    def route_of(scope: Scope) -> str:
        return templates.get(scope.get("endpoint"), "")

    def count(request: Request, route: str, status: int, elapsed_s: float) -> None:
        metrics = Gateway.of(request).metrics
        metrics.count_request(route, request.method, status, elapsed_s)

    spans = None
    if settings.otlp_endpoint:
        spans = tracing.Tracing(tracing.provider("primase-gateway", settings.otlp_endpoint))
    edge = Middleware(Edge, fault=_fault, route_of=route_of, count=count, tracing=spans)

    app = Starlette(
        routes=routes,
        middleware=[edge, *_cors(settings), Middleware(RefuseWork, refused=refusal_response)],
        exception_handlers={Refusal: _refused, HTTPException: _unrouted},
        lifespan=lifespan,
    )
    # Clients of the original do not follow a redirect, or turn its POST into a GET.
    app.router.redirect_slashes = False
    return app


def _cors(settings: Settings) -> list[Middleware]:
    if not settings.cors_origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=("GET", "POST"),
            allow_headers=("*",),
            expose_headers=EXPOSED,
        )
    ]


def _routes() -> list[Route]:
    # Where a fixed path could be read as a model and its action, the fixed path comes first.
    fixed = (health, openapi, front, native, nim, nim_about, biolm_catalogue)
    return [
        *(route for module in fixed for route in module.routes()),
        *biolm_schema.routes(DIALECTS),
        *(route for dialect in DIALECTS for route in dialect.routes()),
    ]


def _hosted(refusal: Refusal) -> bytes:
    return orjson.dumps(hosted_body(refusal))


def _hub(refusal: Refusal) -> bytes:
    return orjson.dumps(hub_body(refusal))


def _plain(refusal: Refusal) -> bytes:
    return orjson.dumps({"detail": refusal.message})


REFUSAL_BODIES: Mapping[str, Callable[[Refusal], bytes]] = {
    V1.prefix: _hub,
    V2.prefix: _hosted,
    V3.prefix: _hosted,
    native.PREFIX: native_errors.body,
    **dict.fromkeys(nim.SIZES, nim_errors.body),
}


async def _refused(request: Request, refusal: Exception) -> Response:
    assert isinstance(refusal, Refusal)
    return refusal_response(request, refusal)


async def _unrouted(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    phrase = HTTPStatus(error.status_code).phrase
    refusal = Refusal("NOT_SERVED", phrase, http_status=error.status_code, headers=error.headers)
    return refusal_response(request, refusal)


def _fault(request: Request) -> Response:
    return refusal_response(request, Refusal("INTERNAL", FAULT))


def refusal_response(request: Request, refusal: Refusal) -> Response:
    """The refusal in the words of the dialect that `request` speaks."""
    path = request.url.path
    bodies = (body for prefix, body in REFUSAL_BODIES.items() if path.startswith(f"{prefix}/"))
    body = next(bodies, _plain)(refusal)
    headers = dict(refusal.headers)
    if refusal.reason.name == "UNAUTHENTICATED":
        headers |= AUTHENTICATE
    if refusal.retry_after_s is not None:
        headers["retry-after"] = str(refusal.retry_after_seconds)
    return Response(body, refusal.http_status, headers, MEDIA_TYPE)
