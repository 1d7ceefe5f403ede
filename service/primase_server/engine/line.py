"""Those who were refused and told when to come back: a queue that waits with the callers."""

import heapq
import math
from collections import defaultdict, deque
from dataclasses import dataclass

_MOST_S = 30.0
"""How far turns are given. Callers that go away leave others waiting for no longer."""

_LATE_S = 1.5
"""So late one may come: over REST it is told whole seconds."""

_LAST_S = _MOST_S / 4
_GOLDEN = 0.618033988749895
"""Its multiples, less their whole parts, lie apart from one another however many there are."""


@dataclass(frozen=True, order=True)
class _Turn:
    at_s: float
    num_tokens: int


class Line:
    """Turns that have been given. In order of their time."""

    def __init__(self) -> None:
        self._to_come: list[_Turn] = []
        self._tokens_to_come = 0
        self._due: defaultdict[int, deque[float]] = defaultdict(deque)
        self._due_in_order: deque[_Turn] = deque()
        self._num_beyond = 0

    def __len__(self) -> int:
        return len(self._to_come)

    def tokens_after(self, now_s: float) -> int:
        """Of those who are to come after that."""
        return sum(turn.num_tokens for turn in self._to_come if turn.at_s > now_s)

    def clear(self) -> None:
        """Forget those that are to come."""
        self._to_come.clear()
        self._tokens_to_come = 0

    def give(
        self,
        num_tokens: int,
        room_s: float,
        tokens_per_s: float,
        now_s: float,
        latest_s: float = math.inf,
    ) -> float:
        """Seconds until the turn of a job, behind those who have one, where room is in `room_s`.

        Fair order holds in the line too: of each other job as much goes before as this one needs.
        Who would come after too long has no turn, and is told to look again at the end of that.
        latest_s: when it can still come; nobody is put behind a turn that is later.
        """
        self._pass_time(now_s)
        num_tokens_ahead = min(self._tokens_to_come, len(self) * num_tokens)
        line_s = num_tokens_ahead / tokens_per_s if tokens_per_s > 0 else 0.0
        if line_s > _MOST_S:
            self._num_beyond += 1
            return room_s + _MOST_S - _LAST_S * (self._num_beyond * _GOLDEN % 1)
        turn = _Turn(now_s + room_s + line_s, num_tokens)
        if turn.at_s <= latest_s:
            heapq.heappush(self._to_come, turn)
            self._tokens_to_come += num_tokens
        return room_s + line_s

    def take(self, num_tokens: int, now_s: float) -> bool:
        """Whether it is the turn of a job of that size, which is then over."""
        self._pass_time(now_s)
        if num_tokens not in self._due:
            return False
        self._forget_due(num_tokens, self._due[num_tokens][0])
        return True

    def _pass_time(self, now_s: float) -> None:
        while self._to_come and self._to_come[0].at_s <= now_s:
            turn = heapq.heappop(self._to_come)
            self._tokens_to_come -= turn.num_tokens
            self._due[turn.num_tokens].append(turn.at_s)
            self._due_in_order.append(turn)
        while self._due_in_order and self._due_in_order[0].at_s < now_s - _LATE_S:
            turn = self._due_in_order.popleft()
            self._forget_due(turn.num_tokens, turn.at_s)

    def _forget_due(self, num_tokens: int, until_s: float) -> None:
        due = self._due.get(num_tokens)
        while due and due[0] <= until_s:
            due.popleft()
        if not due:
            self._due.pop(num_tokens, None)
