"""A controller with the real router, in virtual time, over replicas without machines."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from primase_server.cluster.autoscaler import Scaling
from primase_server.cluster.controller import Controller, ModelCondition
from primase_server.cluster.member import ReplicaState
from primase_server.cluster.patience import Patience
from primase_server.cluster.replicas import ReplicaSpec, Resources
from primase_server.cluster.router import Router
from tests import virtual_time
from tests.cluster.fleet import Call, Fleet
from tests.virtual_time import idle

MODEL = "evo2-7b"
ONE_GPU = Resources(num_cpus=4, num_gpus=1)
SPEC = ReplicaSpec(MODEL, "first", ONE_GPU)
PATIENCE = Patience(drain_s=30.0, reload_s=100.0)


@dataclass
class Seen:
    events: list[tuple[object, ...]] = field(default_factory=list)

    def scaled(self, model: str, before: int, after: int) -> None:
        self.events.append(("scaled", before, after))

    def replica_ready(self, model: str, elapsed_s: float) -> None:
        self.events.append(("ready", elapsed_s))

    def replica_failed(self, model: str, was_ready: bool) -> None:
        self.events.append(("failed", was_ready))

    def reloaded(self, model: str, is_done: bool) -> None:
        self.events.append(("reloaded", is_done))


class Cluster:
    """A controller with the real router over replicas without machines."""

    def __init__(self, fleet: Fleet, patience: Patience = PATIENCE) -> None:
        loop = asyncio.get_running_loop()
        self.fleet = fleet
        self.router = Router(random.Random(1), loop.time)
        self.waiting_tokens = 0
        self.seen = Seen()
        fleet.report = self.router.reported
        self.controller = Controller(
            fleet,
            self.router,
            patience=patience,
            observer=self.seen,
            waiting_tokens=lambda model: self.waiting_tokens,
        )
        self.controller.start()

    def serve(self, floor: int, ceiling: int | None = None, **scaling: float) -> None:
        bounds = Scaling(floor=floor, ceiling=ceiling or max(floor, 1), **scaling)  # type: ignore[arg-type]
        self.controller.serve(SPEC, bounds)

    def send(self, num_tokens: int) -> Call:
        call = Call(num_tokens, asyncio.get_running_loop().time())
        sent = self.router.choose(MODEL, num_tokens)
        assert self.fleet.replicas[sent.handle.replica_id].take(call)
        return call

    @property
    def ready(self) -> int:
        return self.counts(ReplicaState.READY)

    @property
    def detail(self) -> str:
        return self.controller.status(MODEL).detail

    @property
    def condition(self) -> ModelCondition:
        return self.controller.status(MODEL).condition

    @property
    def sources(self) -> list[str]:
        """Of the replicas that run."""
        return sorted(replica.handle.spec.source for replica in self.fleet.replicas.values())

    def counts(self, state: ReplicaState) -> int:
        return self.controller.status(MODEL).counts[state]

    def routed(self) -> set[str]:
        return {handle.replica_id for handle in self.router.replicas(MODEL)}


def simulated(
    work: Callable[[Cluster], Awaitable[None]],
    fleet: Callable[[], Fleet] = Fleet,
    patience: Patience = PATIENCE,
) -> None:
    async def whole() -> None:
        cluster = Cluster(fleet(), patience)
        try:
            await work(cluster)
        finally:
            await cluster.controller.stop()
        assert not cluster.fleet.replicas
        assert not cluster.routed()
        await idle()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    virtual_time.run(whole())
