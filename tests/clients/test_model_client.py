from typing import Any

import grpc
import pytest

from primase import exceptions
from primase.models.v1 import model_service_pb2 as models_pb2
from primase.models.v1 import model_service_pb2_grpc
from primase.type.v1.tensor_pb2 import DATA_TYPE_FLOAT16
from tests.clients.scripted import BOTH_CLIENTS, abort, serving, status

pytestmark = pytest.mark.parametrize("run", BOTH_CLIENTS)


class ThreeModels(model_service_pb2_grpc.ModelServiceServicer):
    """Lists one model a page."""

    def __init__(self) -> None:
        self.requests: list[Any] = []

    def ListModels(self, request: models_pb2.ListModelsRequest, context: Any) -> Any:
        self.requests.append(request)
        page = int(request.page_token or "0")
        return models_pb2.ListModelsResponse(
            models=[models_pb2.Model(name=f"m{page}")],
            next_page_token=str(page + 1) if page < 2 else "",
        )

    def GetModel(self, request: models_pb2.GetModelRequest, context: Any) -> Any:
        if request.model != "m0":
            abort(context, status(grpc.StatusCode.NOT_FOUND, "UNKNOWN_MODEL", "no such model"))
        return models_pb2.GetModelResponse(model=models_pb2.Model(name="m0", num_parameters=8))

    def Estimate(self, request: models_pb2.EstimateRequest, context: Any) -> Any:
        self.requests.append(request)
        return models_pb2.EstimateResponse(num_tokens=12, fits=True)


def test_models_of_all_pages(run: Any) -> None:
    service = ThreeModels()
    with serving(models=service) as target:
        models = run(target, lambda c: c.models("esm2"))

    assert [model.name for model in models] == ["m0", "m1", "m2"]
    assert {request.family for request in service.requests} == {models_pb2.MODEL_FAMILY_ESM2}


def test_one_model(run: Any) -> None:
    with serving(models=ThreeModels()) as target:
        assert run(target, lambda c: c.model("m0")).num_parameters == 8
        with pytest.raises(exceptions.UnknownModel, match="no such model"):
            run(target, lambda c: c.model("m7"))


def test_an_estimate(run: Any) -> None:
    service = ThreeModels()

    def estimate(client: Any) -> Any:
        return client.estimate("m", [4, 6], outputs=["per_token"], num_layers=2, dtype="float16")

    with serving(models=service) as target:
        assert run(target, estimate).num_tokens == 12

    assert service.requests == [
        models_pb2.EstimateRequest(
            model="m",
            sequence_lengths=[4, 6],
            outputs=[models_pb2.ESTIMATE_OUTPUT_PER_TOKEN],
            num_layers=2,
            output_data_type=DATA_TYPE_FLOAT16,
        )
    ]
