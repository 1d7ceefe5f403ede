"""Health over REST. Clients search the body for the word `ready`, so no other answer holds it."""

import asyncio
from collections.abc import Sequence

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from primase.models.v1 import model_service_pb2 as models_pb
from primase_gateway import nim_choice
from primase_gateway.errors import Refusal
from primase_gateway.gateway import Gateway
from primase_gateway.json_stream import MEDIA_TYPE
from primase_gateway.service import HEALTH_DEADLINE_S

LIVE_PATH = "/v1/health/live"
READY_PATH = "/v1/health/ready"
# Names of the service's own health: of the whole, and of what answers until it is told to stop.
EVERY_MODEL = ""
NOT_TOLD: Sequence[models_pb.Model] = []
MODEL_SERVICE = models_pb.DESCRIPTOR.services_by_name["ModelService"].full_name


def routes() -> list[Route]:
    """Each with and without the slash at its end."""
    handlers = ((LIVE_PATH, live), (READY_PATH, ready))
    return [Route(path + end, handler) for path, handler in handlers for end in ("", "/")]


async def live(request: Request) -> Response:
    """This process answers, and not every model has failed."""
    return _unhealthy() if _failed(await _models(Gateway.of(request))) else _answer(200, "live")


async def ready(request: Request) -> Response:
    """The model of the NIM routes answers where one is configured, else every model."""
    gateway = Gateway.of(request)
    configured = gateway.settings.nim_model
    service_name = MODEL_SERVICE if configured else EVERY_MODEL
    models, serving = await asyncio.gather(_models(gateway), gateway.service.serving(service_name))
    if models is NOT_TOLD:
        # Probes have no key: the service's own word on all models has to do.
        serving = await gateway.service.serving(EVERY_MODEL)
    elif configured:
        models = nim_choice.called(models, configured)
        serving = serving and bool(models) and all(_is_ready(model) for model in models)
    if _failed(models):
        return _unhealthy()
    return _answer(200, "ready") if serving else _answer(503, "starting")


async def _models(gateway: Gateway) -> Sequence[models_pb.Model]:
    """All of them; none where the service does not say in time, or not to who asks."""
    try:
        async with asyncio.timeout(HEALTH_DEADLINE_S):
            return await gateway.catalogue.list_models()
    except Refusal as refusal:
        return NOT_TOLD if refusal.http_status in (401, 403) else ()
    except TimeoutError:
        return ()


def _failed(models: Sequence[models_pb.Model]) -> bool:
    return bool(models) and all(model.state == models_pb.MODEL_STATE_FAILED for model in models)


def _is_ready(model: models_pb.Model) -> bool:
    return model.state == models_pb.MODEL_STATE_READY


def _unhealthy() -> Response:
    # Nothing but a new process can help, so that an orchestrator should see to it.
    return _answer(503, "unhealthy")


def _answer(http_status: int, word: str) -> Response:
    return Response(orjson.dumps({"status": word}), http_status, media_type=MEDIA_TYPE)
