"""Where replicas run, and what an operator says of how many and how large they are."""

from collections.abc import Callable
from typing import Protocol

from primase_server.cluster.autoscaler import Scaling
from primase_server.cluster.remote_engine import RemoteEngine
from primase_server.cluster.replica import ReplicaDescription
from primase_server.cluster.replicas import ReplicaFactory, ReplicaHandle, Resources
from primase_server.cluster.trust import Trust
from primase_server.settings import Cluster, Settings, amount_of

GIB = 1 << 30


class Unreachable(Exception):
    """There is no cluster at that address, or not yet."""


class Machines(ReplicaFactory, Protocol):
    """Where replicas run, and what each has told of its model."""

    async def connect(self) -> None:
        """Before anything is started. Raises Unreachable."""

    async def close(self) -> None:
        """After all has ended."""

    def described(self, handle: ReplicaHandle) -> ReplicaDescription:
        """What a replica told when it was ready."""


MachinesOf = Callable[[Settings, Trust, RemoteEngine], Machines]


def ray_machines(settings: Settings, trust: Trust, engine: RemoteEngine) -> Machines:
    """Those of the Ray cluster that the settings name."""
    # Ray takes a second to import, and is an extra.
    from primase_server.cluster.ray_factory import RayFactory

    return RayFactory(settings, trust, engine)


def resources_of(cluster: Cluster, model: str) -> Resources:
    """What one replica of a model needs."""
    return Resources(
        num_cpus=amount_of(cluster.cpus, model, 1.0),
        num_gpus=amount_of(cluster.gpus, model, 0.0),
        memory_bytes=round(amount_of(cluster.memory_gib, model, 0.0) * GIB),
    )


def scaling_of(cluster: Cluster, model: str) -> Scaling:
    """How many replicas a model has, and when that changes."""
    bounds = cluster.range_of(model)
    return Scaling(
        floor=bounds.floor,
        ceiling=bounds.ceiling,
        target_wait_s=cluster.scale_wait_s,
        target_tokens=cluster.scale_tokens,
        up_cooldown_s=cluster.scale_up_s,
        down_cooldown_s=cluster.scale_down_s,
        idle_s=cluster.scale_idle_s,
    )
