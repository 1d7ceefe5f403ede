"""Replicas without machines: they start, work, die and report in the time of the event loop."""

import asyncio
import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from primase_server.cluster.replicas import (
    Died,
    ReplicaFailed,
    ReplicaHandle,
    ReplicaLoad,
    ReplicaSpec,
    Tell,
)

REPORT_INTERVAL_S = 0.05


@dataclass(eq=False)
class Call:
    """What one replica does in one go; `on_end` is called when it is through."""

    num_tokens: int
    began_s: float
    replica_id: str = ""
    started_s: float | None = None
    ended_s: float | None = None
    on_end: Callable[["Call"], None] = lambda call: None


class Replica:
    """Works on one call after the other, in the order in which they came."""

    def __init__(self, handle: ReplicaHandle, fleet: "Fleet", died: Died) -> None:
        self.handle = handle
        self.died = died
        self.queue: deque[Call] = deque()
        self.queued_tokens = 0
        self.running: Call | None = None
        self.is_ready = True
        self.detail = ""
        self.emptied = asyncio.Event()
        self._fleet = fleet
        self._timer: asyncio.TimerHandle | None = None
        self._is_report_due = False

    @property
    def load(self) -> ReplicaLoad:
        return ReplicaLoad(
            queued_tokens=self.queued_tokens,
            running_tokens=self.running.num_tokens if self.running else 0,
            capacity_tokens=self._fleet.capacity_tokens,
            tokens_per_s=self._fleet.tokens_per_s,
            is_ready=self.is_ready,
            detail=self.detail,
        )

    @property
    def is_empty(self) -> bool:
        return self.running is None and not self.queue

    def take(self, call: Call) -> bool:
        """Do it when all that came before is done; False where the queue has no room for it."""
        if self.queued_tokens + call.num_tokens > self._fleet.capacity_tokens:
            return False
        call.replica_id = self.handle.replica_id
        self.queue.append(call)
        self.queued_tokens += call.num_tokens
        if self.running is None:
            self._next()
        self.report_soon()
        return True

    def end(self) -> None:
        """Stop working; calls that are left never end."""
        if self._timer is not None:
            self._timer.cancel()
        self.emptied.set()

    def report_soon(self) -> None:
        """As the real ones: when something changed, and not too often."""
        if not self._is_report_due:
            self._is_report_due = True
            asyncio.get_running_loop().call_later(REPORT_INTERVAL_S, self.report)

    def report(self) -> None:
        """As things are now."""
        self._is_report_due = False
        if self.handle.replica_id in self._fleet.replicas:
            self._fleet.report(self.handle, self.load)

    def _next(self) -> None:
        loop = asyncio.get_running_loop()
        self.running = call = self.queue.popleft()
        self.queued_tokens -= call.num_tokens
        call.started_s = loop.time()
        self._timer = loop.call_later(call.num_tokens / self._fleet.tokens_per_s, self._finish)

    def _finish(self) -> None:
        assert self.running is not None
        self.running.ended_s = asyncio.get_running_loop().time()
        call, self.running = self.running, None
        if self.queue:
            self._next()
        else:
            self.emptied.set()
        self.report_soon()
        call.on_end(call)


class Fleet:
    """A ReplicaFactory over machines with so many GPUs in all, each replica needing its share.

    start_s: from place to ready. failures: raised by the next starts, one each; sources in
    `broken` never start. report: takes every report of a replica.
    """

    def __init__(
        self, *, num_gpus: float = 1e9, start_s: float = 5.0, tokens_per_s: float = 1000.0
    ) -> None:
        self.num_gpus = num_gpus
        self.start_s = start_s
        self.tokens_per_s = tokens_per_s
        self.capacity_tokens = 1 << 28
        self.failures: deque[str] = deque()
        self.broken: set[str] = set()
        self.replicas: dict[str, Replica] = {}
        self.report: Callable[[ReplicaHandle, ReplicaLoad], None] = lambda handle, load: None
        self.num_started = 0
        self.started_s: list[float] = []
        self.drained: list[tuple[str, bool]] = []
        self.stopped: list[str] = []
        self._ids = itertools.count(1)
        self._taken_gpus = 0.0
        self._freed = asyncio.Event()

    async def start(self, spec: ReplicaSpec, tell: Tell, died: Died) -> ReplicaHandle:
        """See ReplicaFactory."""
        self.num_started += 1
        self.started_s.append(asyncio.get_running_loop().time())
        num_gpus = spec.resources.num_gpus
        while self._taken_gpus + num_gpus > self.num_gpus:
            tell(f"waiting for {spec.resources}")
            self._freed.clear()
            await self._freed.wait()
        self._taken_gpus += num_gpus
        try:
            tell("weights are being read")
            await asyncio.sleep(self.start_s)
            if spec.source in self.broken:
                raise ReplicaFailed(f"{spec.source} holds no weights")
            if self.failures:
                raise ReplicaFailed(self.failures.popleft())
        except BaseException:
            self._free(spec)
            raise
        name = f"r{next(self._ids)}"
        handle = ReplicaHandle(name, spec, f"{name}:1")
        self.replicas[name] = Replica(handle, self, died)
        self.replicas[name].report()
        return handle

    async def drain(self, handle: ReplicaHandle, timeout_s: float) -> bool:
        """See ReplicaFactory."""
        replica = self.replicas.get(handle.replica_id)
        is_empty = replica is None or replica.is_empty
        if replica is not None and not is_empty:
            replica.emptied.clear()
            try:
                async with asyncio.timeout(timeout_s):
                    await replica.emptied.wait()
                    is_empty = True
            except TimeoutError:
                pass
        self.drained.append((handle.replica_id, is_empty))
        return is_empty

    async def stop(self, handle: ReplicaHandle) -> None:
        """See ReplicaFactory."""
        self.stopped.append(handle.replica_id)
        self._remove(handle)

    def kill(self, replica_id: str, why: str = "its machine is gone") -> None:
        """It ends by itself."""
        replica = self.replicas[replica_id]
        self._remove(replica.handle)
        replica.died(replica.handle, why)

    def _remove(self, handle: ReplicaHandle) -> None:
        replica = self.replicas.pop(handle.replica_id, None)
        if replica is not None:
            replica.end()
            self._free(handle.spec)

    def _free(self, spec: ReplicaSpec) -> None:
        self._taken_gpus -= spec.resources.num_gpus
        self._freed.set()
