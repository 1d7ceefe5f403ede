"""AdminService: models come, go and change while the server runs."""

from primase.admin.v1 import admin_service_pb2 as pb
from primase.admin.v1 import admin_service_pb2_grpc
from primase_server.rpc.admin_messages import managed_model
from primase_server.rpc.call import Context
from primase_server.rpc.host import ModelHost
from primase_server.settings import Limits, ModelSettings

ADMIN_SERVICE = pb.DESCRIPTOR.services_by_name["AdminService"].full_name


class AdminServicer(admin_service_pb2_grpc.AdminServiceServicer):
    """Hands on what is asked; who may ask is decided before it gets here."""

    def __init__(self, host: ModelHost, limits: Limits) -> None:
        self._host = host
        self._limits = limits

    async def ListModels(
        self, request: pb.ListModelsRequest, context: Context
    ) -> pb.ListModelsResponse:
        """All models, and the memory of the devices."""
        return pb.ListModelsResponse(
            models=[self._model(served.name) for served in self._host.registry],
            devices=[
                pb.DeviceMemory(device=memory.device, free_bytes=memory.free_bytes)
                for memory in self._host.memory()
            ],
        )

    async def LoadModel(
        self, request: pb.LoadModelRequest, context: Context
    ) -> pb.LoadModelResponse:
        """One more model."""
        name = request.model.lower()
        aliases = tuple(alias.lower() for alias in request.aliases)
        await self._host.load(ModelSettings(name, request.source, aliases))
        return pb.LoadModelResponse(model=self._model(name))

    async def UnloadModel(
        self, request: pb.UnloadModelRequest, context: Context
    ) -> pb.UnloadModelResponse:
        """One less."""
        grace_s = request.grace_ms / 1000 if request.HasField("grace_ms") else None
        num_ended = await self._host.unload(request.model, grace_s)
        return pb.UnloadModelResponse(num_ended_calls=num_ended)

    async def ReloadModel(
        self, request: pb.ReloadModelRequest, context: Context
    ) -> pb.ReloadModelResponse:
        """Other weights."""
        await self._host.reload(
            request.model, request.source or None, unload_first=request.unload_first
        )
        return pb.ReloadModelResponse(model=self._model(request.model))

    def _model(self, name: str) -> pb.ManagedModel:
        served = self._host.registry.named(name)
        change = self._host.change_of(served.name)
        return managed_model(served, self._host.engine, change, self._limits)
