"""The operator's calls of the blocking client."""

from collections.abc import Iterable

import grpc

from primase.admin.v1.admin_service_pb2 import (
    ListModelsRequest,
    ListModelsResponse,
    ManagedModel,
    ReloadModelRequest,
)
from primase.admin.v1.admin_service_pb2_grpc import AdminServiceStub
from primase.admin_calls import load_request, unload_request
from primase.transport import Transport


class Admin:
    """What an operator may do to a server that runs. Wants a token with the scope `admin`; a server
    without keys takes it from the same machine.

    A change that has begun goes on when its caller leaves or `timeout_s` is over.
    """

    def __init__(self, channel: grpc.Channel, transport: Transport) -> None:
        self._transport = transport
        self._stub = AdminServiceStub(channel)

    def models(self) -> ListModelsResponse:
        """All `models` in order of name, with what they take and what is being done to them, and
        the memory that is free on the `devices`.
        """
        return self._transport.call(self._stub.ListModels, ListModelsRequest())

    def load(self, name: str, source: str, *, aliases: Iterable[str] = ()) -> ManagedModel:
        """Serve one more model; returns when it is ready.

        source: `hub`, `fixture`, `random`, `random:SEED`, or a path on the server.
        aliases: other names of it.

        Raises InvalidRequest, ModelExists, ModelBusy, InsufficientMemory, LoadFailed,
        PrecisionUnverified.
        """
        request = load_request(name, source, aliases)
        return self._transport.call(self._stub.LoadModel, request).model

    def unload(self, name: str, *, grace_s: float | None = None) -> int:
        """Serve a model no more; returns when its memory is free.

        grace_s: how long its calls in flight may go on, before they end with ModelNotReady; by
        default as long as when the server stops.

        Returns how many calls had to be ended. Raises UnknownModel, ModelBusy.
        """
        request = unload_request(name, grace_s)
        return self._transport.call(self._stub.UnloadModel, request).num_ended_calls

    def reload(self, name: str, source: str = "", *, unload_first: bool = False) -> ManagedModel:
        """Put other weights in place of a model's; returns when they answer. Calls in flight finish
        on the old ones, no call is refused, and where anything fails the old ones go on.

        source: as that of `load`; empty is where the weights came from, read again.
        unload_first: free the old weights before the new ones are read, where both do not fit.
            Calls between are refused.

        Raises as `load`, and UnknownModel.
        """
        request = ReloadModelRequest(model=name, source=source, unload_first=unload_first)
        return self._transport.call(self._stub.ReloadModel, request).model
