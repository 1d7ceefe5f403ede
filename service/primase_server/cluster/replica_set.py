"""One model's replicas: as many as are desired, and new ones for those that die."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from primase_server.cluster.autoscaler import Autoscaler, Scaling
from primase_server.cluster.member import Member, ReplicaState
from primase_server.cluster.observer import ClusterObserver
from primase_server.cluster.patience import Patience
from primase_server.cluster.replicas import (
    ReplicaFactory,
    ReplicaFailed,
    ReplicaLoad,
    ReplicaSpec,
    Routes,
)

log = structlog.get_logger()


@dataclass(frozen=True)
class Surroundings:
    """What the sets of all models share.

    on_change: called with a model's name when something of it changed. waiting_tokens: of a
    model's calls that no replica has yet.
    """

    factory: ReplicaFactory
    routes: Routes
    patience: Patience
    observer: ClusterObserver
    on_change: Callable[[str], None]
    waiting_tokens: Callable[[str], int]


class ReplicaSet:
    """Starts and retires replicas until they are as many as are desired.

    spec: of the replicas that are started. failure: why the last one failed, until others have run
    well for a while.
    """

    def __init__(self, spec: ReplicaSpec, scaling: Scaling, around: Surroundings) -> None:
        self.spec = spec
        self.members: list[Member] = []
        self.failure = ""
        self.num_failures = 0
        self._rolling_to: ReplicaSpec | None = None
        self._around = around
        self._autoscaler = Autoscaler(scaling, _now_s())
        self._is_closed = False
        # the last one could not even start
        self._is_doubtful = False
        self._not_before_s = _now_s()
        self._retry: asyncio.TimerHandle | None = None
        self._unready_since_s: dict[Member, float] = {}
        self._reconcile()

    @property
    def model(self) -> str:
        return self.spec.model

    @property
    def desired(self) -> int:
        return 0 if self._is_closed else self._autoscaler.desired

    @property
    def scaling(self) -> Scaling:
        return self._autoscaler.scaling

    @property
    def retry_in_s(self) -> float:
        """Until a replica is started in the place of one that failed."""
        return max(0.0, self._not_before_s - _now_s())

    def in_state(self, state: ReplicaState) -> list[Member]:
        """Members that are in it now, eldest first."""
        return [member for member in self.members if member.state is state]

    def staying(self) -> list[Member]:
        """Those that take calls or will."""
        return [member for member in self.members if not member.is_leaving]

    def rescale(self, scaling: Scaling) -> None:
        """Keep to other bounds from now on."""
        before = self.desired
        self._decided(before, self._autoscaler.rescale(_now_s(), scaling))

    def switch(self, spec: ReplicaSpec) -> None:
        """Start those of another spec next; what failed before says nothing of these."""
        if spec != self.spec:
            self.spec = spec
            self.num_failures, self.failure, self._is_doubtful = 0, "", False
            self._not_before_s = _now_s()

    def roll_to(self, spec: ReplicaSpec | None) -> None:
        """Let those of other specs go as soon as there are enough of this one; None ends that."""
        self._rolling_to = spec
        self._reconcile()

    def ready_others(self) -> list[Member]:
        """Those that take calls and are to be replaced."""
        ready = self.in_state(ReplicaState.READY)
        return [member for member in ready if member.spec != (self._rolling_to or self.spec)]

    def look(self) -> None:
        """Read the loads, decide how many are desired, and make it so."""
        ready = self.in_state(ReplicaState.READY)
        loads = [load for member in ready if (load := self._load(member)) is not None]
        waiting_tokens = self._around.waiting_tokens(self.model)
        before = self.desired
        if waiting_tokens and not before:
            self._decided(before, self._autoscaler.wake(_now_s()))
        elif loads or waiting_tokens:
            # Replicas that have told nothing yet are not replicas without work.
            self._decided(before, self._autoscaler.observe(_now_s(), loads, waiting_tokens))
        self._replace_unready(ready)
        self._reconcile()

    def wake(self) -> None:
        """A call came."""
        self._decided(self.desired, self._autoscaler.wake(_now_s()))

    def add(self, spec: ReplicaSpec) -> Member:
        """Start one more. Raises ReplicaFailed once the set is closed."""
        if self._is_closed:
            raise ReplicaFailed(f"{self.model} is being unloaded")
        around = self._around
        member = Member(
            spec, around.factory, around.routes, around.patience.drain_s, self._member_changed
        )
        self.members.append(member)
        return member

    def _least_useful(self, members: list[Member]) -> Member:
        """Of these, one that only starts, else the one with the least to do; the youngest."""
        return min(reversed(members), key=lambda m: (m.state is ReplicaState.READY, self._work(m)))

    async def close(self) -> None:
        """Drain and stop all of them, and start none any more."""
        self._is_closed = True
        if self._retry is not None:
            self._retry.cancel()
        members = tuple(self.members)
        for member in members:
            member.retire()
        await asyncio.gather(*(member.ended() for member in members))

    def _decided(self, before: int, desired: int) -> None:
        if self._is_closed or desired == before:
            return
        log.info("model_scaled", model=self.model, before=before, after=desired)
        self._around.observer.scaled(self.model, before, desired)
        self._reconcile()
        self._around.on_change(self.model)

    def _reconcile(self) -> None:
        """Start and retire. What it does may call it again."""
        if self._is_closed:
            return
        if self.retry_in_s > 0:
            self._retry_later()
        else:
            while len(self.staying()) < self.desired and not self._is_being_tried():
                self.add(self.spec)
        if self._rolling_to is not None:
            self._let_others_go(self._rolling_to)
        else:
            while len(self.staying()) > self.desired:
                self._least_useful(self.staying()).retire()

    def _let_others_go(self, spec: ReplicaSpec) -> None:
        """What only starts is not needed once one of `spec` takes calls; others while enough do."""
        if any(member.spec == spec for member in self.in_state(ReplicaState.READY)):
            for member in self.in_state(ReplicaState.STARTING):
                if member.spec != spec:
                    member.retire()
            while len(self.in_state(ReplicaState.READY)) > self.desired and self.ready_others():
                self._least_useful(self.ready_others()).retire()

    def _is_being_tried(self) -> bool:
        """After one that could not start, one alone shows whether others can."""
        return self._is_doubtful and bool(self.in_state(ReplicaState.STARTING))

    def _retry_later(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
        loop = asyncio.get_running_loop()
        self._retry = loop.call_at(self._not_before_s, self._reconcile)

    def _work(self, member: Member) -> int:
        load = self._load(member)
        return load.queued_tokens + load.running_tokens if load else 0

    def _load(self, member: Member) -> ReplicaLoad | None:
        return self._around.routes.load(member.handle) if member.handle else None

    def _replace_unready(self, ready: list[Member]) -> None:
        unready = {m: load for m in ready if (load := self._load(m)) and not load.is_ready}
        self._unready_since_s = {m: self._unready_since_s.get(m, _now_s()) for m in unready}
        for member, load in unready.items():
            if _now_s() - self._unready_since_s[member] >= self._around.patience.unready_s:
                self._failed(member, load.detail or "it takes no calls")
                member.retire()

    def _member_changed(self, member: Member) -> None:
        if member.is_ended:
            self.members.remove(member)
            if member.failure:
                self._failed(member, member.failure)
        elif member.state is ReplicaState.READY:
            self._is_ready(member)
            if member.spec == self._rolling_to:
                # From now on deaths are made good, and more are started, with what loads.
                self.switch(member.spec)
        self._reconcile()
        self._around.on_change(self.model)

    def _is_ready(self, member: Member) -> None:
        elapsed_s = _now_s() - member.began_s
        log.info("replica_ready", model=self.model, elapsed_s=round(elapsed_s, 3))
        self._around.observer.replica_ready(self.model, elapsed_s)
        self._is_doubtful = False
        if self.num_failures:
            asyncio.get_running_loop().call_later(
                self._around.patience.stable_s, self._forget_failures, self.num_failures
            )

    def _forget_failures(self, number: int) -> None:
        """None came since."""
        if self.num_failures == number:
            self.num_failures, self.failure = 0, ""
            self._around.on_change(self.model)

    def _failed(self, member: Member, why: str) -> None:
        was_ready = member.handle is not None
        log.error("replica_failed", model=self.model, was_ready=was_ready, error=why)
        self._around.observer.replica_failed(self.model, was_ready)
        if member.spec != self.spec:
            # It says nothing of those that would be started now.
            return
        self.failure = why
        self._is_doubtful = self._is_doubtful or not was_ready
        if self.retry_in_s > 0:
            # Several that fail together, as with their machine, are one failure.
            return
        self.num_failures += 1
        patience = self._around.patience
        wait_s = min(patience.most_backoff_s, patience.backoff_s * 2.0 ** (self.num_failures - 1))
        self._not_before_s = _now_s() + wait_s


def _now_s() -> float:
    return asyncio.get_running_loop().time()
