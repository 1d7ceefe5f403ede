"""The clock of weighted fair queueing, and the finish times that it gives to work.

    finish = start + num_tokens * (waiting members of the flow)
    start  = max(now, finish of the member's last work), at most `most_ahead` past now

and work that starts moves `now` on by num_tokens / (waiting flows). (Demers, Keshav and Shenker
1989, with a flow's weight split among its members.) Whoever serves in order of finish gives flows
equal shares whatever their number of members.
"""

from collections import Counter
from collections.abc import Hashable


class VirtualTime:
    """Counts who waits, and turns tokens into times. Not thread-safe."""

    def __init__(self, most_ahead: int) -> None:
        self.now = 0.0
        self._most_ahead = most_ahead
        self._num_waiting: Counter[Hashable] = Counter()

    def join(self, flow: Hashable) -> None:
        """One more member of the flow waits."""
        self._num_waiting[flow] += 1

    def leave(self, flow: Hashable) -> None:
        """One less; a flow without members weighs nothing."""
        self._num_waiting[flow] -= 1
        if self._num_waiting[flow] == 0:
            del self._num_waiting[flow]

    def finish(self, flow: Hashable, last_finish: float, num_tokens: int) -> float:
        """When a member that waits, and was last through at `last_finish`, is through with this."""
        start = min(max(self.now, last_finish), self.now + self._most_ahead)
        return start + num_tokens * self._num_waiting[flow]

    def spend(self, num_tokens: int) -> None:
        """Work of somebody who waits starts."""
        self.now += num_tokens / len(self._num_waiting)
