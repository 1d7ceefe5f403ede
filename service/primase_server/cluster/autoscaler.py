"""How many replicas a model should have, from what waits and runs on those it has.

Over all replicas that take calls, with n of them wanted so far:

    work    = sum of queued_tokens + running_tokens + told_tokens, and what waits for a replica
    target  = target_tokens, else target_wait_s × best          tokens that one replica may have
    up      = ceil(work / target)                               up > n asks for more
    used    = sum over replicas with work of tokens_per_s / best, at most 1 each
    down    = ceil(max(work / (target × SLACK), mean used / SLACK))

`best` is the highest speed that any of them reported lately; it halves in BEST_HALF_LIFE_S, since
what a device does with one sequence in a step says little about what it could do.

n rises to `up` at once, at most doubling, where it has not changed for up_cooldown_s. n falls where
`down` was below it all through the last down_cooldown_s and n did not change in that time: to the
largest `down` of that time, at most by half. `down` is asked for with SLACK, so that what is left
after a fall has to grow by a quarter before n rises again, and it looks at what the devices did as
well as at what waits: a queue that is empty because all replicas are busy takes none away.

So between a rise and the next fall lie at least down_cooldown_s, between a fall and the next rise
up_cooldown_s, and in T seconds the direction changes at most 2 × (T / (up + down) + 1) times.

With a floor of 0, n becomes 0 after idle_s without any work, and 1 at once when a call comes. It
begins with 1 all the same, since only a replica can say what the model is.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from primase_server.cluster.replicas import ReplicaLoad

SLACK = 0.8
BEST_HALF_LIFE_S = 600.0


@dataclass(frozen=True)
class Scaling:
    """What an operator says of one model.

    floor, ceiling: of its replicas; a floor of 0 lets it go to sleep.
    target_wait_s: seconds of work that may wait on one replica. target_tokens: the same as a fixed
        number of tokens, for work whose speed says little.
    up_cooldown_s, down_cooldown_s: see the module. idle_s: without work before it sleeps.
    """

    floor: int = 1
    ceiling: int = 1
    target_wait_s: float = 10.0
    target_tokens: int | None = None
    up_cooldown_s: float = 15.0
    down_cooldown_s: float = 120.0
    idle_s: float = 600.0

    def __post_init__(self) -> None:
        if not 0 <= self.floor <= self.ceiling or self.ceiling < 1:
            raise ValueError(f"{self.floor} to {self.ceiling} replicas is no range")
        if self.target_wait_s <= 0 or (self.target_tokens is not None and self.target_tokens < 1):
            raise ValueError("what may wait on a replica must be more than nothing")
        if min(self.up_cooldown_s, self.down_cooldown_s, self.idle_s) < 0:
            raise ValueError("a cool-down must not be negative")

    def bounded(self, number: int) -> int:
        """The nearest number of replicas that is allowed."""
        return min(max(number, self.floor), self.ceiling)


@dataclass(frozen=True)
class _Seen:
    at_s: float
    backlog: int
    used: float


class Autoscaler:
    """One model's. Times are the caller's, and never go back."""

    def __init__(self, scaling: Scaling, now_s: float) -> None:
        self.scaling = scaling
        self.desired = max(scaling.floor, 1)
        self._changed_s = -math.inf
        self._worked_s = now_s
        self._best = 0.0
        self._best_s = now_s
        self._seen: deque[_Seen] = deque()

    def observe(self, now_s: float, loads: Sequence[ReplicaLoad], waiting_tokens: int = 0) -> int:
        """Take the reports of the replicas that take calls; gives the number that is desired.

        waiting_tokens: that no replica has yet.
        """
        work = waiting_tokens
        work += sum(load.queued_tokens + load.running_tokens + load.told_tokens for load in loads)
        if work:
            self._worked_s = now_s
        self._remember_best(now_s, loads)
        target = self.scaling.target_tokens or self.scaling.target_wait_s * self._best
        rising = self._needed(work, target)
        self._seen.append(
            _Seen(now_s, max(rising, self._needed(work, target * SLACK)), self._used(loads))
        )
        while len(self._seen) > 1 and self._seen[1].at_s <= now_s - self.scaling.down_cooldown_s:
            self._seen.popleft()
        self._set(now_s, self._next(now_s, rising))
        return self.desired

    def wake(self, now_s: float) -> int:
        """A call came: there is to be a replica for it."""
        self._worked_s = now_s
        self._set(now_s, max(self.desired, 1))
        return self.desired

    def rescale(self, now_s: float, scaling: Scaling) -> int:
        """Other bounds hold from now on."""
        self.scaling = scaling
        self._set(now_s, self.desired)
        return self.desired

    def _next(self, now_s: float, rising: int) -> int:
        if self.desired == 0:
            return 0
        for_s = now_s - self._changed_s
        if rising > self.desired and for_s >= self.scaling.up_cooldown_s:
            return min(rising, 2 * self.desired)
        if self.scaling.floor == 0 and now_s - self._worked_s >= self.scaling.idle_s:
            return 0
        seen_s = now_s - self._seen[0].at_s
        if min(for_s, seen_s) >= self.scaling.down_cooldown_s:
            used = sum(seen.used for seen in self._seen) / len(self._seen)
            lasting = max(*(seen.backlog for seen in self._seen), math.ceil(used / SLACK), 1)
            return min(self.desired, max(lasting, math.ceil(self.desired / 2)))
        return self.desired

    def _set(self, now_s: float, number: int) -> None:
        number = self.scaling.bounded(number)
        if number != self.desired:
            self.desired = number
            self._changed_s = now_s

    def _needed(self, work: int, target: float) -> int:
        """Replicas for so much work; as many as there are where no speed is known yet."""
        return math.ceil(work / target) if target > 0 else self.desired * (work > 0)

    def _used(self, loads: Sequence[ReplicaLoad]) -> float:
        """How many replicas, each at its best, would do what these do."""
        return sum(
            min(1.0, load.tokens_per_s / self._best) if self._best > 0 else 1.0
            for load in loads
            if load.queued_tokens or load.running_tokens
        )

    def _remember_best(self, now_s: float, loads: Sequence[ReplicaLoad]) -> None:
        faded = self._best * 0.5 ** ((now_s - self._best_s) / BEST_HALF_LIFE_S)
        self._best = max([faded, *(load.tokens_per_s for load in loads)])
        self._best_s = now_s
