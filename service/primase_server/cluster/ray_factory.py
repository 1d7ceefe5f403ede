"""Replicas as actors of Ray: placed, started, watched, ended. Only imported where Ray is there.

Ray's calls may block, so they run on threads of their own.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, TypeVar

import ray
import structlog
from ray.exceptions import RayError
from ray.util.placement_group import (
    PlacementGroup,
    placement_group,
    remove_placement_group,
)
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from primase_server.cluster.actor import ReplicaActor
from primase_server.cluster.machines import Unreachable
from primase_server.cluster.remote_engine import RemoteEngine
from primase_server.cluster.replica import ReplicaDescription
from primase_server.cluster.replicas import (
    Died,
    ReplicaFailed,
    ReplicaHandle,
    ReplicaSpec,
    Resources,
    Tell,
)
from primase_server.cluster.trust import Trust
from primase_server.models.card import ModelState
from primase_server.settings import ModelSettings, Settings, Telemetry

log = structlog.get_logger()

NUM_THREADS = 8
CONNECT_S = 2.0
PLACE_S = 0.5
PLACE_AGAIN_S = 0.5
STOP_S = 2.0
GPUS = "cuda"  # all that a process sees

T = TypeVar("T")


@dataclass
class _Started:
    """What there is of a replica, so that all of it can be freed."""

    group: PlacementGroup | None = None
    actor: Any = None
    watching: "asyncio.Task[None] | None" = None


class RayFactory:
    """See Machines. One placement group for each replica, with all of its GPUs on one machine."""

    def __init__(self, settings: Settings, trust: Trust, engine: RemoteEngine) -> None:
        self._described: dict[str, ReplicaDescription] = {}
        self._settings = settings
        self._trust = trust
        self._engine = engine
        self._started: dict[str, _Started] = {}
        self._numbers = count(1)
        self._threads = ThreadPoolExecutor(NUM_THREADS, thread_name_prefix="ray")
        self._is_connected_here = False

    async def connect(self) -> None:
        """Join the cluster. Raises Unreachable."""
        await self._blocking(self._connect)

    async def close(self) -> None:
        """Leave it; what is still there of replicas ends."""
        if self._is_connected_here:
            await self._blocking(ray.shutdown)
        self._threads.shutdown(wait=False)

    def described(self, handle: ReplicaHandle) -> ReplicaDescription:
        """See Machines."""
        return self._described[handle.replica_id]

    async def start(self, spec: ReplicaSpec, tell: Tell, died: Died) -> ReplicaHandle:
        """See ReplicaFactory."""
        replica_id = f"{spec.model}-{next(self._numbers)}"
        started = self._started[replica_id] = _Started()
        try:
            handle = await self._start(replica_id, started, spec, tell)
        except RayError as error:
            await self._end(replica_id)
            raise ReplicaFailed(_told_of(error)) from error
        except BaseException:
            await asyncio.shield(self._end(replica_id))
            raise
        started.watching = asyncio.create_task(
            self._watch(handle, started.actor, died), name=f"life of {replica_id}"
        )
        log.info(
            "replica_started",
            replica=replica_id,
            address=handle.address,
            pid=self._described[replica_id].pid,
            source=spec.source,
        )
        return handle

    async def drain(self, handle: ReplicaHandle, timeout_s: float) -> bool:
        """See ReplicaFactory."""
        return await self._engine.drained(handle, timeout_s)

    async def stop(self, handle: ReplicaHandle) -> None:
        """See ReplicaFactory."""
        await self._end(handle.replica_id)
        await self._engine.forget(handle)
        log.info("replica_ended", replica=handle.replica_id)

    def _connect(self) -> None:
        if ray.is_initialized():
            return
        address = self._settings.cluster.address
        if ":" in address:
            _require_answer(address)
        # It would say that it leaves our signals alone.
        logging.getLogger("ray._private.worker").setLevel(logging.ERROR)
        try:
            ray.init(
                address=address,
                namespace="primase",
                log_to_driver=False,
                configure_logging=False,
                include_dashboard=False,
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise Unreachable(str(error).partition("\n")[0]) from error
        self._is_connected_here = True

    async def _start(
        self, replica_id: str, started: _Started, spec: ReplicaSpec, tell: Tell
    ) -> ReplicaHandle:
        bundle = _bundle(spec.resources)
        group = await self._blocking(
            lambda: placement_group([bundle], strategy="STRICT_PACK", name=replica_id)
        )
        started.group = group
        await self._placed(group, spec.resources, tell)
        tell("its process is being started, and its weights are read")
        started.actor = await self._blocking(lambda: self._actor(group, spec))
        described: ReplicaDescription = await started.actor.start.remote()
        if described.state not in (ModelState.READY, ModelState.UNVERIFIED):
            raise ReplicaFailed(described.detail)
        self._described[replica_id] = described
        return ReplicaHandle(replica_id, spec, described.address)

    async def _placed(self, group: PlacementGroup, wanted: Resources, tell: Tell) -> None:
        tell("it is being placed")
        while not await self._blocking(lambda: group.wait(PLACE_S)):
            fits = await self._blocking(lambda: _fits_somewhere(wanted))
            what = "" if fits else "; no machine of the cluster has as much"
            tell(f"waiting for {wanted}{what}")
            await asyncio.sleep(PLACE_AGAIN_S)

    def _actor(self, group: PlacementGroup, spec: ReplicaSpec) -> Any:
        wanted = spec.resources
        options = {
            "num_cpus": wanted.num_cpus,
            "num_gpus": wanted.num_gpus,
            "memory": wanted.memory_bytes or None,
            "max_restarts": 0,
            "scheduling_strategy": PlacementGroupSchedulingStrategy(group, 0),
        }
        remote = ray.remote(ReplicaActor).options(**options)
        return remote.remote(replica_settings(self._settings, spec), self._trust)

    async def _watch(self, handle: ReplicaHandle, actor: Any, died: Died) -> None:
        try:
            await actor.live.remote()
            why = "it ended by itself"
        except RayError as error:
            why = _told_of(error)
        log.warning("replica_died", replica=handle.replica_id, why=why)
        died(handle, why)

    async def _end(self, replica_id: str) -> None:
        started = self._started.pop(replica_id, None)
        self._described.pop(replica_id, None)
        if started is None:
            return
        if started.watching is not None:
            started.watching.cancel()
        await self._blocking(lambda: _free(started))

    async def _blocking(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def replica_settings(settings: Settings, spec: ReplicaSpec) -> Settings:
    """Those of a replica, of the settings of its front end.

    It runs on GPUs where it is given any: Ray shows it these and no others.
    """
    configured = {model.name: model for model in settings.models}
    model = configured.get(spec.model, ModelSettings(spec.model, spec.source))
    # The gate, the certificates and the metrics of the front end are none of a replica's.
    return replace(
        settings,
        models=(replace(model, source=spec.source),),
        tls=None,
        rest=None,
        rest_token="",
        telemetry=Telemetry(),
        device=GPUS if spec.resources.num_gpus else settings.device,
        num_threads=max(1, int(spec.resources.num_cpus)),
    )


def _free(started: _Started) -> None:
    try:
        if started.actor is not None:
            ray.kill(started.actor)
        if started.group is not None:
            remove_placement_group(started.group)
    except Exception:
        # What Ray no longer knows is free.
        log.exception("replica_not_freed")


def _bundle(wanted: Resources) -> dict[str, float]:
    bundle = {
        "CPU": float(wanted.num_cpus),
        "GPU": float(wanted.num_gpus),
        "memory": float(wanted.memory_bytes),
    }
    return {name: amount for name, amount in bundle.items() if amount > 0} or {"CPU": 0.001}


def _fits_somewhere(wanted: Resources) -> bool:
    bundle = _bundle(wanted)
    machines = [node["Resources"] for node in _nodes() if node["Alive"]]
    return any(
        all(machine.get(name, 0.0) >= amount for name, amount in bundle.items())
        for machine in machines
    )


def _nodes() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return found


def _require_answer(address: str) -> None:
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), CONNECT_S).close()
    except (OSError, ValueError) as error:
        raise Unreachable(f"nobody answers at {address}: {error}") from error


def _told_of(error: RayError) -> str:
    """The first line, which has no traceback."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
