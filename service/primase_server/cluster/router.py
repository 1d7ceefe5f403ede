"""Which replica takes a call: the emptier of two that chance picks, by tokens.

Two choices come close to the best of all (Mitzenmacher, "The Power of Two Choices in Randomized
Load Balancing"), and do not send everybody to one replica that was the emptiest a moment ago.
"""

import random
from collections.abc import Callable, Set
from dataclasses import dataclass, field

from primase_server.cluster.replicas import ReplicaHandle, ReplicaLoad

# A report that comes so soon after a call was sent may not know of it. Until the next one a call
# may be counted twice, which sends others elsewhere for that long.
REPORT_DELAY_S = 0.1


class NoReplica(Exception):
    """There is none of the model that may take the call."""


@dataclass(eq=False)
class Sent:
    """One call on its way to a replica, or there."""

    handle: ReplicaHandle
    num_tokens: int
    sent_s: float


@dataclass
class _Route:
    handle: ReplicaHandle
    load: ReplicaLoad | None = None
    unreported: list[Sent] = field(default_factory=list)

    @property
    def is_ready(self) -> bool:
        return self.load is None or self.load.is_ready

    @property
    def unreported_tokens(self) -> int:
        """Of calls that the last report may not know of."""
        return sum(sent.num_tokens for sent in tuple(self.unreported))

    @property
    def num_tokens(self) -> int:
        """In front of a call that came now, as far as is known."""
        reported = self.load.queued_tokens + self.load.running_tokens if self.load else 0
        return reported + self.unreported_tokens


class Router:
    """Chooses among the replicas of each model. For one event loop; waits for nothing.

    A call goes to one replica whole, so that the samples of a prompt share what they read.
    """

    def __init__(self, chance: random.Random, clock: Callable[[], float]) -> None:
        self._chance = chance
        self._clock = clock
        self._routes: dict[str, dict[str, _Route]] = {}
        self._loads: dict[str, ReplicaLoad] = {}

    def add(self, handle: ReplicaHandle) -> None:
        """Calls may go to it from now on."""
        of_model = self._routes.setdefault(handle.model, {})
        of_model[handle.replica_id] = _Route(handle, self._loads.get(handle.replica_id))

    def withdraw(self, handle: ReplicaHandle) -> None:
        """No new call goes to it; it is still reported on. Idempotent."""
        self._routes.get(handle.model, {}).pop(handle.replica_id, None)

    def forget(self, handle: ReplicaHandle) -> None:
        """It is gone, with what it reported. Idempotent."""
        self.withdraw(handle)
        self._loads.pop(handle.replica_id, None)

    def load(self, handle: ReplicaHandle) -> ReplicaLoad | None:
        """Its last report; None before the first."""
        return self._loads.get(handle.replica_id)

    def reported(self, handle: ReplicaHandle, load: ReplicaLoad) -> None:
        """A report came: it knows of all calls but those that were sent just now."""
        self._loads[handle.replica_id] = load
        route = self._routes.get(handle.model, {}).get(handle.replica_id)
        if route is not None:
            known_s = self._clock() - REPORT_DELAY_S
            route.load = load
            route.unreported = [sent for sent in route.unreported if sent.sent_s > known_s]

    def choose(self, model: str, num_tokens: int, but: Set[str] = frozenset()) -> Sent:
        """Where a call of about so many tokens goes, which is counted there from now on.

        but: ids of replicas that have refused it. Raises NoReplica.
        """
        routes = [route for name, route in self._routes.get(model, {}).items() if name not in but]
        # One that says it is not ready may still be the only one there is.
        routes = [route for route in routes if route.is_ready] or routes
        if not routes:
            raise NoReplica(model)
        two = self._chance.sample(routes, min(2, len(routes)))
        route = min(two, key=lambda route: route.num_tokens)
        sent = Sent(route.handle, num_tokens, self._clock())
        route.unreported.append(sent)
        return sent

    def ended(self, sent: Sent) -> None:
        """The call is over, or was refused."""
        route = self._routes.get(sent.handle.model, {}).get(sent.handle.replica_id)
        if route is not None and sent in route.unreported:
            route.unreported.remove(sent)

    def unreported_tokens(self, model: str) -> int:
        """About so many have calls that no report may know of."""
        return sum(route.unreported_tokens for route in self._of(model))

    def replicas(self, model: str) -> list[ReplicaHandle]:
        """Those of a model that calls may go to."""
        return [route.handle for route in self._of(model)]

    def _of(self, model: str) -> tuple[_Route, ...]:
        # Made in one go, since other threads look too.
        return tuple(self._routes.get(model, {}).values())
