"""The routes of NIM for Evo 2. The same handlers answer at the hosted service's paths."""

from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp

from primase.models.v1 import model_service_pb2 as models_pb
from primase_gateway import nim_choice, nim_errors, nim_forward, nim_generate
from primase_gateway.edge import mark_weights
from primase_gateway.errors import Refusal
from primase_gateway.gateway import Gateway

PLAIN = "/biology/arc/evo2"
# The hosted service's own paths, by the size that answers there.
SIZES: Mapping[str, str | None] = {
    PLAIN: None,
    "/v1/biology/arc/evo2-40b": "evo2-40b",
    "/v1/biology/arc/evo2-7b": "evo2-7b",
}
Handler = Callable[[Request, Gateway, models_pb.Model], Awaitable[ASGIApp]]
# By the last part of the path.
HANDLERS: Mapping[str, Handler] = {
    "generate": nim_generate.generate,
    "forward": nim_forward.forward,
}


def routes() -> list[Route]:
    """Each with and without the slash at its end."""
    return [
        Route(f"{prefix}/{name}{end}", _endpoint(name, handler, size), methods=["POST"])
        for prefix, size in SIZES.items()
        for name, handler in HANDLERS.items()
        for end in ("", "/")
    ]


def _endpoint(
    name: str, handler: Handler, size: str | None
) -> Callable[[Request], Awaitable[ASGIApp]]:
    async def answer(request: Request) -> ASGIApp:
        gateway = Gateway.of(request)
        with gateway.metrics.timed(name):
            try:
                gateway.authenticate(request)
                chosen = await nim_choice.choose(gateway, size)
                mark_weights(chosen)
                model = await gateway.catalogue.find(chosen.name)
                return await handler(request, gateway, model)
            except Refusal as refusal:
                busy_is_422 = gateway.settings.nim_busy_422
                raise nim_errors.restated(refusal, busy_is_422=busy_is_422) from None

    return answer
