"""grpc.health.v1: a service serves while all its models are ready, the whole while all are.

Each model has a health of its own besides. The others do not wait for one that an operator loads
or unloads meanwhile.
"""

from collections.abc import Mapping

from primase.esm2.v1 import esm2_service_pb2
from primase.evo2.v1 import evo2_service_pb2
from primase.models.v1 import model_service_pb2
from primase.progen2.v1 import progen2_service_pb2
from primase_server.models.card import ModelState
from primase_server.models.registry import Registry, ServedModel
from primase_server.rpc.health_servicer import HealthServicer

OVERALL = ""
ONE_MODEL = "primase.models/"
"""Before the name of a model, or an alias, in lower case."""

MODEL_SERVICE = model_service_pb2.DESCRIPTOR.services_by_name["ModelService"].full_name
FAMILY_SERVICES: Mapping[str, str] = {
    "esm2": esm2_service_pb2.DESCRIPTOR.services_by_name["Esm2Service"].full_name,
    "evo2": evo2_service_pb2.DESCRIPTOR.services_by_name["Evo2Service"].full_name,
    "progen2": progen2_service_pb2.DESCRIPTOR.services_by_name["ProGen2Service"].full_name,
}


class Health:
    """Answers health checks from the registry, until withdrawn."""

    def __init__(self, registry: Registry) -> None:
        self.servicer = HealthServicer()
        self._registry = registry
        self._tell()

    async def update(self) -> None:
        """Say what the models' states now are."""
        self._tell()

    async def withdraw(self) -> None:
        """Say NOT_SERVING from now on, whatever comes, so that load balancers send no new work."""
        self.servicer.withdraw()

    def _tell(self) -> None:
        models = list(self._registry)
        awaited = [model for model in models if model.is_awaited]
        is_serving = {OVERALL: _all_ready(awaited), MODEL_SERVICE: True}
        for family, service in FAMILY_SERVICES.items():
            is_serving[service] = _all_ready([m for m in awaited if m.family == family])
        for model in models:
            for name in (model.name, *model.aliases):
                is_serving[service_of(name)] = _all_ready([model])
        self.servicer.tell(is_serving)


def service_of(model: str) -> str:
    """What health calls the model of that name or alias."""
    return f"{ONE_MODEL}{model.lower()}"


def _all_ready(models: list[ServedModel]) -> bool:
    return bool(models) and all(model.state is ModelState.READY for model in models)
