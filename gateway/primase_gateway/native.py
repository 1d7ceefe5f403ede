"""Our own REST: the gRPC calls as canonical proto JSON under /primase/v1."""

import asyncio
from typing import Any

from google.protobuf.message import Message
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from primase.models.v1 import model_service_pb2 as models_pb
from primase_gateway import proto_json
from primase_gateway.body import read_json
from primase_gateway.edge import mark_weights
from primase_gateway.errors import Refusal
from primase_gateway.gateway import Gateway
from primase_gateway.json_stream import MEDIA_TYPE
from primase_gateway.native_verbs import VERBS

PREFIX = "/primase/v1"
MODELS = f"{PREFIX}/models"


def routes() -> list[Route]:
    """Each with and without the slash at its end. A name of a model holds no colon."""
    handlers = (
        (MODELS, list_models, "GET"),
        (f"{MODELS}/{{model}}:{{verb}}", act, "POST"),
        (f"{MODELS}/{{model}}", get_model, "GET"),
    )
    return [
        Route(path + end, handler, methods=[method])
        for path, handler, method in handlers
        for end in ("", "/")
    ]


async def list_models(request: Request) -> Response:
    """ListModels; its fields are the query's parameters. Raises Refusal."""
    gateway = Gateway.of(request)
    gateway.authenticate(request)
    message = proto_json.parse(dict(request.query_params), models_pb.ListModelsRequest)
    answer = await gateway.service.call(gateway.service.models.ListModels, message)
    for model in answer.models:
        mark_weights(model)
    return _json(proto_json.dump(answer))


async def get_model(request: Request) -> Response:
    """GetModel. Raises Refusal."""
    gateway = Gateway.of(request)
    gateway.authenticate(request)
    message = models_pb.GetModelRequest(model=request.path_params["model"])
    answer = await gateway.service.call(gateway.service.models.GetModel, message)
    mark_weights(answer.model)
    return _json(proto_json.dump(answer))


async def act(request: Request) -> Response:
    """A call of the model's family. Raises Refusal."""
    gateway = Gateway.of(request)
    gateway.authenticate(request)
    name, verb_name = request.path_params["model"], request.path_params["verb"]
    if all(verb_name not in verbs for verbs in VERBS.values()):
        raise Refusal("NOT_SERVED", "no such call", http_status=404)
    model = await gateway.catalogue.find(name)
    mark_weights(model)
    verb = VERBS.get(model.family, {}).get(verb_name)
    if verb is None:
        text = f"{models_pb.ModelFamily.Name(model.family)} has no such call"
        raise Refusal("NOT_SERVED", text, http_status=404)
    document = await read_json(request, gateway.settings.max_body_bytes)
    parsed = await asyncio.to_thread(proto_json.parse, document, verb.request)
    return await verb.answer(request, gateway.service, _of_model(parsed, name))


def _of_model(message: Any, name: str) -> Message:
    if message.model not in ("", name):
        raise Refusal.of_field(("model",), "differs from the model in the path; leave it out")
    message.model = name
    checked: Message = message
    return checked


def _json(body: bytes) -> Response:
    return Response(body, media_type=MEDIA_TYPE)
