"""Keeps as many replicas of every model as are desired, through deaths, loads and reloads."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

import structlog

from primase_server.cluster.autoscaler import Scaling
from primase_server.cluster.member import ReplicaState
from primase_server.cluster.observer import ClusterObserver, SilentClusterObserver
from primase_server.cluster.patience import DEFAULT_PATIENCE, Patience
from primase_server.cluster.replica_set import ReplicaSet, Surroundings
from primase_server.cluster.replicas import ReplicaFactory, ReplicaFailed, ReplicaSpec, Routes
from primase_server.cluster.rolling import roll
from primase_server.errors import UnknownModel

log = structlog.get_logger()

# A model none of whose replicas could start so many times in a row is called failed. It is tried
# on all the same.
FAILURES_OF_FAILED = 3

OnChange = Callable[[str], None]


class ModelCondition(StrEnum):
    """READY: a replica takes calls. LOADING: one will. ASLEEP: the next call starts one. FAILED:
    none could be started, several times."""

    READY = "ready"
    LOADING = "loading"
    ASLEEP = "asleep"
    FAILED = "failed"


@dataclass(frozen=True)
class ModelStatus:
    """One model's replicas. `detail`: what is wrong or waited for; empty where nothing is."""

    spec: ReplicaSpec
    scaling: Scaling
    condition: ModelCondition
    detail: str
    desired: int
    counts: Mapping[ReplicaState, int]


class Controller:
    """All models. Everything is called on one event loop, whose clock is the only one.

    waiting_tokens: of a model's calls that no replica has yet.
    """

    def __init__(
        self,
        factory: ReplicaFactory,
        routes: Routes,
        *,
        patience: Patience = DEFAULT_PATIENCE,
        observer: ClusterObserver | None = None,
        waiting_tokens: Callable[[str], int] = lambda model: 0,
    ) -> None:
        self._patience = patience
        self._observer = observer or SilentClusterObserver()
        self._around = Surroundings(
            factory, routes, patience, self._observer, self._changed, waiting_tokens
        )
        self._sets: dict[str, ReplicaSet] = {}
        self._rolls: dict[str, asyncio.Task[None]] = {}
        self._reload_failures: dict[str, str] = {}
        self._listeners: list[OnChange] = []
        self._change = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None

    def on_change(self, listener: OnChange) -> None:
        """Have it called with a model's name whenever its status may be another, until it goes."""
        self._listeners.append(listener)

    def start(self) -> None:
        """Look at the loads from now on."""
        self._looking = asyncio.create_task(self._look(), name="cluster controller")

    async def stop(self) -> None:
        """Drain and stop all replicas."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait((self._looking,))
        await asyncio.gather(*(self.unload(model) for model in tuple(self._sets)))

    @property
    def models(self) -> tuple[str, ...]:
        """Names of those that are served, asleep or not."""
        return tuple(self._sets)

    def serve(self, spec: ReplicaSpec, scaling: Scaling) -> None:
        """Have replicas of a model from now on. Raises ValueError where it is there already."""
        if spec.model in self._sets:
            raise ValueError(f"{spec.model} is served already")
        self._sets[spec.model] = ReplicaSet(spec, scaling, self._around)
        self._changed(spec.model)

    def rescale(self, model: str, scaling: Scaling) -> None:
        """Keep to other bounds. Raises UnknownModel."""
        self._set(model).rescale(scaling)

    async def reload(self, model: str, source: str | None = None) -> None:
        """Replace all replicas by those of a source, or of the same one read again.

        No call is dropped: see rolling.py. Goes on where the caller gives up. Raises UnknownModel;
        ReplicaFailed where those that were there serve on, or another reload is under way.
        """
        replicas = self._set(model)
        if model in self._rolls:
            raise ReplicaFailed(f"another reload of {model} is under way")
        spec = replace(
            replicas.spec,
            source=replicas.spec.source if source is None else source,
            generation=self._next_generation(replicas),
        )
        task = asyncio.create_task(self._roll(replicas, spec), name=f"reload of {model}")
        self._rolls[model] = task
        await asyncio.shield(task)

    async def unload(self, model: str) -> None:
        """Drain and stop its replicas, and forget it. Raises UnknownModel."""
        replicas = self._set(model)
        del self._sets[model]
        await replicas.close()
        rolling = self._rolls.get(model)
        if rolling is not None:
            await asyncio.wait((rolling,))
        self._reload_failures.pop(model, None)
        self._changed(model)

    def wake(self, model: str) -> None:
        """A call came; one that sleeps has a replica started. Raises UnknownModel."""
        self._set(model).wake()

    async def ready(self, model: str, timeout_s: float) -> bool:
        """Wait until a replica takes calls, at most so long. Raises UnknownModel."""
        try:
            async with asyncio.timeout(timeout_s):
                while self.status(model).condition is not ModelCondition.READY:
                    await self._change.wait()
        except TimeoutError:
            return False
        return True

    def status(self, model: str) -> ModelStatus:
        """As it is now. Raises UnknownModel."""
        replicas = self._set(model)
        counts = {state: len(replicas.in_state(state)) for state in ReplicaState}
        condition = _condition(replicas, counts)
        return ModelStatus(
            spec=replicas.spec,
            scaling=replicas.scaling,
            condition=condition,
            detail=_detail(replicas, condition, counts) or self._reload_failures.get(model, ""),
            desired=replicas.desired,
            counts=counts,
        )

    def _set(self, model: str) -> ReplicaSet:
        try:
            return self._sets[model]
        except KeyError:
            raise UnknownModel(model, self.models) from None

    def _changed(self, model: str) -> None:
        self._change.set()
        self._change = asyncio.Event()
        if model in self._sets:
            for listener in self._listeners:
                try:
                    listener(model)
                except Exception:
                    log.exception("listener_failed", model=model)

    async def _look(self) -> None:
        while True:
            for replicas in tuple(self._sets.values()):
                try:
                    replicas.look()
                except Exception:
                    # One model's trouble is not that of the others, nor of the next second.
                    log.exception("replicas_not_looked_at", model=replicas.model)
            await asyncio.sleep(self._patience.interval_s)

    def _next_generation(self, replicas: ReplicaSet) -> int:
        generations = (member.spec.generation for member in replicas.members)
        return max([replicas.spec.generation, *generations]) + 1

    async def _roll(self, replicas: ReplicaSet, spec: ReplicaSpec) -> None:
        model = spec.model
        try:
            await roll(replicas, spec, self._patience)
        except ReplicaFailed as error:
            self._reload_failures[model] = f"the last reload failed, {spec.source}: {error}"
            self._observer.reloaded(model, is_done=False)
            raise
        else:
            self._reload_failures.pop(model, None)
            self._observer.reloaded(model, is_done=True)
        finally:
            del self._rolls[model]
            self._changed(model)


def _condition(replicas: ReplicaSet, counts: Mapping[ReplicaState, int]) -> ModelCondition:
    if counts[ReplicaState.READY]:
        return ModelCondition.READY
    if replicas.desired == 0:
        return ModelCondition.ASLEEP
    if replicas.num_failures >= FAILURES_OF_FAILED:
        return ModelCondition.FAILED
    return ModelCondition.LOADING


def _detail(
    replicas: ReplicaSet, condition: ModelCondition, counts: Mapping[ReplicaState, int]
) -> str:
    if condition is ModelCondition.ASLEEP:
        return "no replica runs; the next call starts one"
    num_ready = counts[ReplicaState.READY]
    if num_ready >= replicas.desired:
        return ""
    reasons = []
    if num_ready:
        reasons.append(f"{num_ready} of {replicas.desired} replicas take calls")
    if replicas.failure and not num_ready:
        reasons.append(f"the last one failed: {replicas.failure}")
    if starting := replicas.in_state(ReplicaState.STARTING):
        reasons.append(starting[0].detail)
    elif replicas.retry_in_s > 0:
        reasons.append(f"another is started in {replicas.retry_in_s:.0f} s")
    return "; ".join(reasons)
