"""The product's own router, autoscaler and controller over replicas without machines."""

import asyncio
import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from primase_server.cluster.autoscaler import Scaling
from primase_server.cluster.controller import Controller
from primase_server.cluster.member import ReplicaState
from primase_server.cluster.patience import Patience
from primase_server.cluster.replicas import ReplicaSpec
from primase_server.cluster.router import NoReplica, Router, Sent
from tests import virtual_time
from tests.benchmarks.cluster_sim.trace import Traffic
from tests.cluster.fleet import Call, Fleet

MODEL = "simulated"
SPEC = ReplicaSpec(MODEL, "weights")
TOKENS_PER_S = 1000.0
# The queues of replicas that came at different times are not equal at once.
SETTLED_S = 60.0
# A call that finds no replica is held so long, and then told to come again.
HELD_S = 120.0
# Seconds of work that a replica's queue takes. What none takes comes again when it was told to.
QUEUE_S = 60.0
SHORTEST_RETRY_S = 0.1


class OneChoice(random.Random):
    """Picks one where two are asked for: what the router is compared with."""

    def sample(self, population: Sequence[object], k: int, **_: object) -> list[object]:  # type: ignore[override]
        return super().sample(population, min(k, 1))


@dataclass(frozen=True)
class Scenario:
    """kill_every_s: so often `num_killed` replicas die together. reload_at_s: new weights."""

    name: str
    traffic: Traffic
    scaling: Scaling
    seconds: float
    start_s: float = 20.0
    num_gpus: int = 100
    kill_every_s: float = 0.0
    num_killed: int = 0
    reload_at_s: float = 0.0
    is_one_choice: bool = False


@dataclass
class Result:
    """What was seen. Waits are from arrival to the first token on a device.

    num_sent: to how many replicas each call went, by its id. num_refusals: answers that no replica
    has room. num_lost: calls that found no replica at all. num_ready: at every second. gaps: at
    each second after SETTLED_S without a start or an end, the longest queue of a replica less the
    mean of all, in tokens.
    """

    calls: list[Call] = field(default_factory=list)
    num_sent: dict[int, int] = field(default_factory=dict)
    num_refusals: int = 0
    num_lost: int = 0
    num_ready: list[int] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)
    scaled: list[tuple[float, int, int]] = field(default_factory=list)
    num_deaths: int = 0
    least_ready_in_reload: int = 0

    @property
    def waits_s(self) -> list[float]:
        return sorted(c.started_s - c.began_s for c in self.calls if c.started_s is not None)

    @property
    def num_turns(self) -> int:
        """How often a rise was followed by a fall or the other way round."""
        signs = [after > before for _, before, after in self.scaled]
        return sum(a != b for a, b in itertools.pairwise(signs))

    @property
    def busy_share(self) -> float:
        """Of the time of the replicas that were ready."""
        work_s = sum(call.num_tokens for call in self.calls) / TOKENS_PER_S
        return work_s / max(sum(self.num_ready), 1)


def simulate(scenario: Scenario, seed: int = 1) -> Result:
    """The same for the same seed."""
    return virtual_time.run(_Simulation(scenario, seed).run())


class _Simulation:
    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.scenario = scenario
        self.seed = seed
        self.chance = random.Random(seed)
        self.result = Result()
        self.waiting_tokens = 0
        self.changed_s = 0.0
        self.on_way: dict[Call, Sent] = {}
        self.held: set[Call] = set()
        self.tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> Result:
        scenario, loop = self.scenario, asyncio.get_running_loop()
        self.fleet = Fleet(
            num_gpus=scenario.num_gpus, start_s=scenario.start_s, tokens_per_s=TOKENS_PER_S
        )
        kind = OneChoice if scenario.is_one_choice else random.Random
        self.router = Router(kind(self.chance.random()), loop.time)
        self.fleet.report = self.router.reported
        self.controller = Controller(
            self.fleet,
            self.router,
            patience=Patience(drain_s=600.0),
            observer=self,
            waiting_tokens=lambda model: self.waiting_tokens,
        )
        self.fleet.capacity_tokens = round(QUEUE_S * TOKENS_PER_S)
        self.controller.start()
        self.controller.serve(SPEC, scenario.scaling)
        watching = [asyncio.create_task(self._watch())]
        if scenario.kill_every_s:
            watching.append(asyncio.create_task(self._kill()))
        if scenario.reload_at_s:
            watching.append(asyncio.create_task(self._reload()))
        # The same calls whatever else is left to chance.
        chance = random.Random(f"arrivals {self.seed}")
        arrivals = scenario.traffic.arrivals(scenario.seconds, TOKENS_PER_S, chance)
        for arrival in arrivals:
            await asyncio.sleep(arrival.at_s - loop.time())
            call = Call(arrival.num_tokens, loop.time(), on_end=self._ended)
            self.result.calls.append(call)
            self._send(call)
        await asyncio.sleep(scenario.seconds - loop.time())
        for task in watching:
            task.cancel()
        await self.all_ended()
        await self.controller.stop()
        return self.result

    async def all_ended(self) -> None:
        # In virtual time looking again and again costs nothing.
        while self.on_way or self.held:  # noqa: ASYNC110
            await asyncio.sleep(10.0)

    def _send(self, call: Call) -> None:
        """To one replica; to others where that has no room; else it comes again."""
        refused: set[str] = set()
        retry_s = QUEUE_S
        while True:
            try:
                sent = self.router.choose(MODEL, call.num_tokens, refused)
            except NoReplica:
                break
            replica = self.fleet.replicas[sent.handle.replica_id]
            if replica.take(call):
                self.on_way[call] = sent
                self.result.num_sent[id(call)] = self.result.num_sent.get(id(call), 0) + 1
                return
            self.router.ended(sent)
            refused.add(replica.handle.replica_id)
            over = replica.queued_tokens + call.num_tokens - self.fleet.capacity_tokens
            retry_s = min(retry_s, max(over / TOKENS_PER_S, SHORTEST_RETRY_S))
        if refused:
            self.result.num_refusals += 1
            asyncio.get_running_loop().call_later(retry_s, self._again, call)
            self.held.add(call)
        else:
            self._hold(call)

    def _again(self, call: Call) -> None:
        self.held.discard(call)
        self._send(call)

    def _hold(self, call: Call) -> None:
        """As the front end does with a call that finds no replica."""
        self.held.add(call)
        self.waiting_tokens += call.num_tokens
        self.controller.wake(MODEL)
        task = asyncio.create_task(self._held(call))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _held(self, call: Call) -> None:
        is_ready = await self.controller.ready(MODEL, HELD_S)
        self.waiting_tokens -= call.num_tokens
        if is_ready:
            self._again(call)
        else:
            self.held.discard(call)
            self.result.num_lost += 1

    def _ended(self, call: Call) -> None:
        self.router.ended(self.on_way.pop(call))

    async def _watch(self) -> None:
        while True:
            status = self.controller.status(MODEL)
            ready = [self.fleet.replicas[h.replica_id] for h in self.router.replicas(MODEL)]
            if ready or self.result.num_ready:
                self.result.num_ready.append(len(ready))
            loads = [r.load.queued_tokens + r.load.running_tokens for r in ready]
            now_s = asyncio.get_running_loop().time()
            if status.counts[ReplicaState.STARTING] or status.counts[ReplicaState.DRAINING]:
                self.changed_s = now_s
            if loads and now_s - self.changed_s >= SETTLED_S:
                mean = sum(loads) / len(loads)
                self.result.gaps.append(max(loads) - mean)
            await asyncio.sleep(1.0)

    async def _kill(self) -> None:
        """A machine dies: nothing of its calls was answered yet, so they go elsewhere."""
        while True:
            await asyncio.sleep(self.scenario.kill_every_s)
            names = sorted(self.fleet.replicas)
            for name in self.chance.sample(names, min(self.scenario.num_killed, len(names))):
                replica = self.fleet.replicas[name]
                left = ([replica.running] if replica.running else []) + list(replica.queue)
                self.fleet.kill(name)
                self.result.num_deaths += 1
                for call in left:
                    call.started_s = None
                    self._ended(call)
                    self._send(call)

    async def _reload(self) -> None:
        await asyncio.sleep(self.scenario.reload_at_s)
        reload = asyncio.create_task(self.controller.reload(MODEL, "others"))
        self.result.least_ready_in_reload = len(self.router.replicas(MODEL))
        while not reload.done():
            self.result.least_ready_in_reload = min(
                self.result.least_ready_in_reload, len(self.router.replicas(MODEL))
            )
            await asyncio.sleep(0.5)
        await reload

    def scaled(self, model: str, before: int, after: int) -> None:
        self.result.scaled.append((asyncio.get_running_loop().time(), before, after))

    def replica_ready(self, model: str, elapsed_s: float) -> None: ...

    def replica_failed(self, model: str, was_ready: bool) -> None: ...

    def reloaded(self, model: str, is_done: bool) -> None: ...
