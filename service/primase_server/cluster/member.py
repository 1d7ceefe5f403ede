"""The life of one replica: started, ready, drained, stopped."""

import asyncio
from collections.abc import Callable
from enum import StrEnum

import structlog

from primase_server.cluster.replicas import (
    ReplicaFactory,
    ReplicaFailed,
    ReplicaHandle,
    ReplicaSpec,
    Routes,
)

log = structlog.get_logger()


class ReplicaState(StrEnum):
    """What a replica does. One that has ended is forgotten."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"


class Member:
    """One replica of a model, and the task that is its life.

    on_change: called when its state changed and once when it has ended, with the member. `failure`
    is then why it could not start or ended by itself; empty where it was asked to go.
    """

    def __init__(
        self,
        spec: ReplicaSpec,
        factory: ReplicaFactory,
        routes: Routes,
        drain_s: float,
        on_change: Callable[["Member"], None],
    ) -> None:
        self.spec = spec
        self.state = ReplicaState.STARTING
        self.handle: ReplicaHandle | None = None
        self.detail = "it is being started"
        self.failure = ""
        self.began_s = asyncio.get_running_loop().time()
        self.is_ended = False
        self._factory = factory
        self._routes = routes
        self._drain_s = drain_s
        self._on_change = on_change
        self._leaving = asyncio.Event()
        self._settled = asyncio.Event()
        self._life = asyncio.create_task(self._live(), name=f"replica of {spec.model}")

    @property
    def is_leaving(self) -> bool:
        """It was told to go, or died."""
        return self._leaving.is_set()

    def retire(self) -> None:
        """Take no more calls, let those that run end, and go; at once where it only starts."""
        if not self.is_leaving:
            self._leave()

    async def settled(self) -> bool:
        """Wait until it takes calls, or never will; True for the former."""
        await self._settled.wait()
        return self.state is ReplicaState.READY

    async def ended(self) -> None:
        """Wait until nothing of it is left."""
        await asyncio.shield(self._life)

    def _leave(self) -> None:
        self._leaving.set()
        if self.handle is not None:
            self._routes.withdraw(self.handle)
        self.state = ReplicaState.DRAINING
        self._settled.set()
        self._on_change(self)

    def _died(self, handle: ReplicaHandle, why: str) -> None:
        self.failure = self.failure or why or "it ended by itself"
        if not self.is_leaving:
            self._leave()

    def _told(self, detail: str) -> None:
        if detail != self.detail:
            self.detail = detail
            self._on_change(self)

    async def _live(self) -> None:
        try:
            self.handle = await self._started()
            if self.handle is not None:
                await self._serve(self.handle)
        except ReplicaFailed as error:
            self.failure = str(error)
        except Exception as error:
            log.exception("replica_lost", model=self.spec.model)
            self.failure = f"{type(error).__name__}: {error}"
        finally:
            self.is_ended = True
            self._leaving.set()
            self._settled.set()
            self._on_change(self)

    async def _started(self) -> ReplicaHandle | None:
        """None where it was told to go before it was ready; nothing is left of it then."""
        start = asyncio.create_task(self._factory.start(self.spec, self._told, self._died))
        leaving = asyncio.create_task(self._leaving.wait())
        try:
            await asyncio.wait((start, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            if not start.done():
                start.cancel()
                await asyncio.wait((start,))
        if start.cancelled():
            return None
        return start.result()

    async def _serve(self, handle: ReplicaHandle) -> None:
        try:
            if not self.is_leaving:
                self.state, self.detail = ReplicaState.READY, ""
                self._routes.add(handle)
                self._settled.set()
                self._on_change(self)
                await self._leaving.wait()
            if not self.failure:
                await self._factory.drain(handle, self._drain_s)
        finally:
            self._routes.withdraw(handle)
            await self._factory.stop(handle)
