"""ModelService: what is served, and what a request would cost."""

import asyncio
import base64
import sys
from collections.abc import Sequence

from primase.models.v1 import model_service_pb2 as pb
from primase.models.v1 import model_service_pb2_grpc
from primase_server.engine.engine import Engine
from primase_server.errors import InvalidRequest
from primase_server.models.card import ModelState
from primase_server.models.esm2.runner import Esm2Runner
from primase_server.models.evo2.runner import Evo2Runner
from primase_server.models.families import EVO2, PROGEN2
from primase_server.models.progen2.runner import ProGen2Runner
from primase_server.models.registry import Registry, ServedModel
from primase_server.models.room import Room
from primase_server.rpc import (
    esm2_estimate,
    evo2_estimate,
    evo2_generate_estimate,
    evo2_requests,
    generation_estimate,
    progen2_estimate,
    progen2_requests,
)
from primase_server.rpc.call import Context
from primase_server.rpc.model_messages import FAMILIES, to_model
from primase_server.settings import Limits

DEFAULT_PAGE_SIZE = 100


class ModelServicer(model_service_pb2_grpc.ModelServiceServicer):
    """Answers from the registry, at once, whatever the device is doing."""

    def __init__(self, engine: Engine, registry: Registry, limits: Limits) -> None:
        self._engine = engine
        self._registry = registry
        self._limits = limits

    async def ListModels(
        self, request: pb.ListModelsRequest, context: Context
    ) -> pb.ListModelsResponse:
        """Models in order of name, a page at a time."""
        models = [m for m in self._registry if request.family in (0, FAMILIES[m.family])]
        start = _page_start(models, request.page_token)
        end = start + (request.page_size or DEFAULT_PAGE_SIZE)
        return pb.ListModelsResponse(
            models=[self._model(served) for served in models[start:end]],
            next_page_token=_page_token(models[end - 1].name) if end < len(models) else "",
        )

    async def GetModel(self, request: pb.GetModelRequest, context: Context) -> pb.GetModelResponse:
        """One model with its layers and vocabulary."""
        served = self._registry.find(request.model)
        return pb.GetModelResponse(model=self._model(served, details=True))

    async def Estimate(self, request: pb.EstimateRequest, context: Context) -> pb.EstimateResponse:
        """Costs from the shapes alone; nothing runs."""
        served = self._registry.find(request.model)
        if served.family == EVO2.name:
            return await asyncio.to_thread(self._estimate_evo2, request)
        if served.family == PROGEN2.name:
            return await asyncio.to_thread(self._estimate_progen2, request)
        _, runner = self._registry.ready(request.model, Esm2Runner)
        return await asyncio.to_thread(esm2_estimate.estimate, request, runner, self._limits)

    def _estimate_evo2(self, request: pb.EstimateRequest) -> pb.EstimateResponse:
        model, runner = self._registry.ready(request.model, Evo2Runner)
        room = self._room(model)
        served = evo2_requests.within(runner.served, self._limits, model.room)
        weights_bytes = runner.config.num_parameters * served.dtype_bytes
        if generation_estimate.is_generation(request):
            costs = evo2_generate_estimate.costs(served)
            return generation_estimate.estimate(request, costs, room, self._limits, weights_bytes)
        return evo2_estimate.estimate(request, served, room, self._limits, weights_bytes)

    def _estimate_progen2(self, request: pb.EstimateRequest) -> pb.EstimateResponse:
        model, runner = self._registry.ready(request.model, ProGen2Runner)
        room = self._room(model)
        served = progen2_requests.within(runner.served, self._limits)
        weights_bytes = runner.config.num_parameters * served.dtype_bytes
        if generation_estimate.is_generation(request, pb.ESTIMATE_OUTPUT_SCORE):
            likelihood = pb.ESTIMATE_OUTPUT_SCORE in request.outputs
            costs = progen2_estimate.generation_costs(served, likelihood=likelihood)
            return generation_estimate.estimate(request, costs, room, self._limits, weights_bytes)
        return progen2_estimate.estimate_score(request, served, room, self._limits, weights_bytes)

    def _room(self, model: ServedModel) -> Room:
        return model.room or Room(self._limits.max_batch_bytes, sys.maxsize)

    def _model(self, served: ServedModel, *, details: bool = False) -> pb.Model:
        ready = served.state is ModelState.READY
        queue = self._engine.queue_state(served.name) if ready else None
        return to_model(served, self._limits, queue, details=details)


def _page_start(models: Sequence[ServedModel], token: str) -> int:
    """Index of the first model after the one the token names, which may be gone by now."""
    if not token:
        return 0
    try:
        last = base64.urlsafe_b64decode(token.encode("ascii")).decode()
    except ValueError as error:
        raise InvalidRequest.at("page_token", "is not one that this server gave") from error
    return sum(model.name <= last for model in models)


def _page_token(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()
