"""What answers behind the edge: the models of this process, or those of a cluster."""

from collections.abc import Sequence
from typing import Protocol

import grpc

from primase_server.engine.engine import Engine
from primase_server.models.card import Change
from primase_server.models.registry import Registry
from primase_server.models.room import Memory
from primase_server.rpc.health import Health
from primase_server.settings import ModelSettings


class Answering(Protocol):
    """Services that a server offers for models."""

    @property
    def health(self) -> Health:
        """Of these models."""

    def add_services(self, server: grpc.aio.Server) -> None:
        """Let it answer ModelService and those of the families; all else is the edge's."""

    async def end_calls(self) -> None:
        """Take no more work, and end that which is open with ShuttingDown."""


class ModelHost(Answering, Protocol):
    """Owns models, and the services that answer for them.

    Made on the event loop that it is used on. It installs no signal handlers and opens no port of
    its own, so any loop will do.
    """

    @property
    def registry(self) -> Registry:
        """Every model, and the state it is in; health follows it."""

    @property
    def engine(self) -> Engine:
        """Where queues and speeds of the models are told."""

    async def start(self) -> None:
        """Begin to load the configured models, and return at once."""

    async def ready(self) -> None:
        """Wait until each of them is loaded or has failed."""

    async def stop(self) -> None:
        """Give up what is still being loaded. After `end_calls`."""

    def end_changes(self) -> None:
        """Give up what is being loaded or unloaded, and begin nothing more: the server ends."""

    def change_of(self, name: str) -> Change:
        """What is being done to that model now."""

    def memory(self) -> Sequence[Memory]:
        """What is free on the devices that models are put on; none where that is not known."""

    async def load(self, model: ModelSettings) -> None:
        """Serve one more model; returns when it is ready.

        This and what follows goes on where the caller is cancelled. Raises InvalidRequest for a
        source that cannot be, ModelExists, InsufficientMemory, ModelBusy, LoadFailed,
        PrecisionUnverified, ShuttingDown.
        """

    async def unload(self, name: str, grace_s: float | None = None) -> int:
        """Serve a model no more; returns when its memory is free.

        New calls are refused from now on. Those in flight have `grace_s`, by default as long as at
        the end of the server, and then end with ModelNotReady; gives how many did. Raises
        UnknownModel, ModelBusy, ShuttingDown.
        """

    async def reload(
        self, name: str, source: str | None = None, *, unload_first: bool = False
    ) -> None:
        """Put other weights in place of a model's, by default those of the same source.

        Calls in flight finish on the old ones, and none is refused; returns when new calls are
        answered by the new ones. Where that fails the old ones go on. With `unload_first` the old
        ones go before the new ones come, and calls between are refused. Raises as `load`, and
        UnknownModel.
        """
