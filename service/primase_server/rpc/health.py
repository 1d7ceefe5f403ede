"""grpc.health.v1: a service serves while all its models are ready, the whole while all are."""

from collections.abc import Mapping

from grpc_health.v1 import health, health_pb2

from primase.esm2.v1 import esm2_service_pb2
from primase.evo2.v1 import evo2_service_pb2
from primase.models.v1 import model_service_pb2
from primase.progen2.v1 import progen2_service_pb2
from primase_server.models.card import ModelState
from primase_server.models.registry import Registry, ServedModel

OVERALL = ""
MODEL_SERVICE = model_service_pb2.DESCRIPTOR.services_by_name["ModelService"].full_name
FAMILY_SERVICES: Mapping[str, str] = {
    "esm2": esm2_service_pb2.DESCRIPTOR.services_by_name["Esm2Service"].full_name,
    "evo2": evo2_service_pb2.DESCRIPTOR.services_by_name["Evo2Service"].full_name,
    "progen2": progen2_service_pb2.DESCRIPTOR.services_by_name["ProGen2Service"].full_name,
}

_Status = health_pb2.HealthCheckResponse


class Health:
    """Answers health checks from the registry, until withdrawn."""

    def __init__(self, registry: Registry) -> None:
        self.servicer = health.aio.HealthServicer()
        self._registry = registry

    async def update(self) -> None:
        """Say what the models' states now are."""
        models = list(self._registry)
        await self._set(OVERALL, _all_ready(models))
        await self._set(MODEL_SERVICE, True)
        for family, service in FAMILY_SERVICES.items():
            await self._set(service, _all_ready([m for m in models if m.family == family]))

    async def withdraw(self) -> None:
        """Say NOT_SERVING from now on, whatever comes, so that load balancers send no new work."""
        await self.servicer.enter_graceful_shutdown()

    async def _set(self, service: str, serving: bool) -> None:
        await self.servicer.set(service, _Status.SERVING if serving else _Status.NOT_SERVING)


def _all_ready(models: list[ServedModel]) -> bool:
    return bool(models) and all(model.state is ModelState.READY for model in models)
