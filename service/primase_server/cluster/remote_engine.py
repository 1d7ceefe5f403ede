"""The models of a cluster: its replicas, and the calls that wait for one."""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence, Set
from contextlib import asynccontextmanager
from dataclasses import replace

from primase_server.cluster.links import EMPTY, Link
from primase_server.cluster.replicas import ReplicaHandle, ReplicaLoad
from primase_server.cluster.router import NoReplica, Router, Sent
from primase_server.cluster.trust import Trust
from primase_server.engine.engine import QueueState, Ticket
from primase_server.engine.generation import GenerationJob
from primase_server.engine.job import Job
from primase_server.errors import (
    DeadlineExpired,
    ModelNotReady,
    NotServed,
    QueueFull,
    ShuttingDown,
)
from primase_server.models.card import ModelState
from primase_server.models.registry import LOADING_RETRY_S, Registry, ServedModel
from primase_server.settings import Limits

# How long a call waits where its model's replicas have to be started first.
LONGEST_WAIT_S = 120.0
LOOK_AGAIN_S = 1.0
WAITING_RETRY_S = 1.0

Wake = Callable[[str], None]
"""Takes a model whose calls wait for a replica."""


class RemoteEngine:
    """Knows the replicas of every model, and lends them to calls. For one event loop.

    It is an Engine as far as queues are told; work comes as the bytes of calls (`forwarding.py`).
    """

    def __init__(
        self,
        registry: Registry,
        limits: Limits,
        trust: Trust,
        wake: Wake = lambda model: None,
        chance: random.Random | None = None,
    ) -> None:
        self.registry = registry
        self.wake = wake
        self.is_closed = False
        self._limits = limits
        self._trust = trust
        self.router = Router(chance or random.Random(), time.monotonic)
        self._links: dict[str, Link] = {}
        self._waiting: defaultdict[str, int] = defaultdict(int)
        self._changed = asyncio.Event()

    def add(self, handle: ReplicaHandle) -> None:
        """See Routes."""
        if handle.replica_id not in self._links:
            self._links[handle.replica_id] = Link(handle, self._trust, self._reported)
        self.router.add(handle)
        self._tell_waiting()

    def _reported(self, handle: ReplicaHandle, load: ReplicaLoad) -> None:
        self.router.reported(handle, load)
        if load.is_ready and load.detail:
            for served in self.registry:
                if served.name == handle.model and served.state is ModelState.READY:
                    served.set_degraded(load.detail)

    def withdraw(self, handle: ReplicaHandle) -> None:
        """See Routes."""
        self.router.withdraw(handle)
        if handle.replica_id in self._links:
            self._links[handle.replica_id].withdraw()

    def suspect(self, handle: ReplicaHandle) -> None:
        """A call was lost there: others go elsewhere where they can, until it is heard of again."""
        self.router.reported(handle, ReplicaLoad(is_ready=False, detail="a call was lost there"))

    def load(self, handle: ReplicaHandle) -> ReplicaLoad | None:
        """See Routes."""
        return self.router.load(handle)

    async def drained(self, handle: ReplicaHandle, timeout_s: float) -> bool:
        """Wait until no call is open on a replica, at most so long; whether that is so."""
        link = self._links.get(handle.replica_id)
        if link is None:
            return True
        try:
            async with asyncio.timeout(timeout_s):
                await link.is_idle.wait()
        except TimeoutError:
            return False
        return True

    async def forget(self, handle: ReplicaHandle) -> None:
        """It is gone, and what was open on it ends."""
        self.router.forget(handle)
        if (link := self._links.pop(handle.replica_id, None)) is not None:
            await link.close()

    def replicas(self, model: str) -> list[ReplicaHandle]:
        """Those of a model that calls may go to."""
        return self.router.replicas(model)

    def waiting_tokens(self, model: str) -> int:
        """About so many tokens have calls that wait for a replica."""
        return self._waiting[model]

    @asynccontextmanager
    async def lent(
        self,
        model: ServedModel,
        num_tokens: int,
        refused: Set[str],
        lost: Sequence[ReplicaHandle],
        deadline_s: float | None,
    ) -> AsyncIterator[Link]:
        """A replica for a call of about so many tokens, which is open on it within.

        refused: ids of those that would not take it. lost: those that it was lost with, which get
        it again only once they are heard of. Raises NoReplica where all have refused it,
        ModelNotReady, QueueFull, DeadlineExpired, ShuttingDown.
        """
        sent = await self._chosen(model, num_tokens, refused, lost, deadline_s)
        link = self._links[sent.handle.replica_id]
        link.begin()
        try:
            yield link
        finally:
            link.end()
            self.router.ended(sent)

    async def _chosen(
        self,
        model: ServedModel,
        num_tokens: int,
        refused: Set[str],
        lost: Sequence[ReplicaHandle],
        deadline_s: float | None,
    ) -> Sent:
        self._require_open()
        try:
            return self.router.choose(model.name, num_tokens, refused | self._silent(lost))
        except NoReplica:
            if refused and self.router.replicas(model.name):
                raise
            _require_to_come(model, is_moved=bool(lost))
        return await self._waited(model, num_tokens, lost, deadline_s)

    def _silent(self, lost: Sequence[ReplicaHandle]) -> Set[str]:
        loads = {handle.replica_id: self.router.load(handle) for handle in lost}
        return {name for name, load in loads.items() if load is None or not load.is_ready}

    async def _waited(
        self,
        model: ServedModel,
        num_tokens: int,
        lost: Sequence[ReplicaHandle],
        deadline_s: float | None,
    ) -> Sent:
        if self._waiting[model.name] + num_tokens > self._limits.max_queued_tokens:
            raise QueueFull(f"model {model.name!r} is being started", WAITING_RETRY_S)
        until_s = time.monotonic() + LONGEST_WAIT_S
        self._waiting[model.name] += num_tokens
        try:
            while time.monotonic() < until_s:
                self.wake(model.name)
                await self._change(until_s if deadline_s is None else min(until_s, deadline_s))
                if deadline_s is not None and time.monotonic() >= deadline_s:
                    raise DeadlineExpired("the deadline passed while the model was being started")
                self._require_open()
                try:
                    return self.router.choose(model.name, num_tokens, self._silent(lost))
                except NoReplica:
                    _require_to_come(model, is_moved=bool(lost))
            raise _not_ready(model)
        finally:
            self._waiting[model.name] -= num_tokens

    async def _change(self, until_s: float) -> None:
        wait_s = min(LOOK_AGAIN_S, max(0.0, until_s - time.monotonic()))
        changed = self._changed
        try:
            async with asyncio.timeout(wait_s):
                await changed.wait()
        except TimeoutError:
            pass

    def _tell_waiting(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _require_open(self) -> None:
        if self.is_closed:
            raise ShuttingDown("the server is stopping")

    def queue_state(self, name: str) -> QueueState:
        """Of all replicas together. May be asked from any thread."""
        model = self.registry.find(name)
        links = tuple(self._links.values())
        queues = [link.queue for link in links if link.handle.model == model.name]
        whole = EMPTY
        for queue in queues:
            whole = whole.with_other(queue)
        return replace(
            whole,
            queued_tokens=whole.queued_tokens
            + self.router.unreported_tokens(model.name)
            + self._waiting[model.name],
            tokens_per_s=sum(queue.tokens_per_s for queue in queues),
        )

    def submit(self, job: Job | GenerationJob) -> Ticket:
        """Raises NotServed: calls go to replicas whole."""
        raise NotServed(f"model {job.model!r} runs in other processes")

    async def drain(self, timeout_s: float) -> None:
        """See Engine."""
        async with asyncio.timeout(timeout_s):
            for link in tuple(self._links.values()):
                await link.is_idle.wait()

    async def close(self) -> None:
        """See Engine."""
        self.is_closed = True
        self._tell_waiting()
        links, self._links = tuple(self._links.values()), {}
        why = ShuttingDown("the server is stopping")
        await asyncio.gather(*(link.close(why) for link in links))

    async def give_up(self, model: str) -> int:
        """End all calls that are open on a model's replicas; how many there were."""
        links = [link for link in self._links.values() if link.handle.model == model]
        num_calls = sum(link.num_calls for link in links)
        for link in links:
            self.router.withdraw(link.handle)
            del self._links[link.handle.replica_id]
        why = ModelNotReady(f"model {model!r} was taken out of service")
        await asyncio.gather(*(link.close(why) for link in links))
        return num_calls


def _require_to_come(model: ServedModel, *, is_moved: bool) -> None:
    """Raise ModelNotReady unless there will be a replica: there has been one, or it moved."""
    is_coming = model.state in (ModelState.READY, ModelState.LOADING)
    if not is_coming or (model.card is None and not is_moved):
        raise _not_ready(model)


def _not_ready(model: ServedModel) -> ModelNotReady:
    retry_after_s = LOADING_RETRY_S if model.state is not ModelState.FAILED else None
    return ModelNotReady(f"model {model.name!r}: {model.detail}", retry_after_s)
