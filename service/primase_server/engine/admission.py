"""Who may join a model's queue: an account in tokens and bytes, and the charges made to it.

Tokens and bytes are hard bounds. Waiting is bounded too, at the speed measured lately. A burst may
wait, `max_queue_s` or `_CALM_JOBS` times as long as the job takes by itself, whichever is longer.
Whoever comes when that is full is refused, and from then on work of its size and above is kept to a
short queue, until for `_PRESSED_S` none had to be refused: of a load that never ends a long queue
would make everybody wait, and answer nobody more. Those refused wait where they are, each told a
turn of its own (`line.py`), at which it goes before those who come for the first time: so a burst
of any size is worked off, and the device does not idle.

What counts is the work that runs before the job is through, in fair order: so much work of others
as it has itself of each of them, and of all jobs of another flow together as much as its own flow
has with it. So short jobs may join behind long ones, a long job with short ones in front of it
always may, and who floods the queue is in nobody's way but their own.
"""

import math
from dataclasses import dataclass

from primase_server.engine.engine import QueueState
from primase_server.engine.job import NO_RETRY, Retry
from primase_server.engine.limits import EngineLimits
from primase_server.engine.line import Line
from primase_server.engine.throughput import Throughput
from primase_server.errors import DeadlineTooShort, QueueFull, RequestTooLarge

_SHORTEST_RETRY_S = 0.1
_LONGEST_RETRY_S = 60.0

_CALM_JOBS = 32
"""Jobs of the same size that may wait, however long that takes; those on the device count."""

_PRESSED_JOBS = 16
"""The same where somebody was refused lately."""

_PRESSED_S = 2.0
"""How long ago "lately" is."""

_MOST_RUNNING_JOBS = _PRESSED_JOBS // 2
"""As so many at most where few may wait: the next step is not to be much smaller than this one."""

_ALWAYS_S = 0.1
"""A wait for which nobody is refused."""

_TURN_JOBS = _PRESSED_JOBS // 2
"""Work that is left when the turn of one who was refused comes: the device does not wait for it,
and it is let in although the device was slower or others came before."""

_TURN_S = _ALWAYS_S / 2
"""The same where jobs are so short that this is longer."""


@dataclass
class _Flow:
    num_jobs: int = 0
    num_tokens: int = 0


class Account:
    """What one model's queue holds. Guarded by the device's lock."""

    def __init__(self, limits: EngineLimits) -> None:
        self._limits = limits
        self._throughput = Throughput()
        self._line = Line()
        self._refused_s: dict[int, float] = {}
        self._flows: dict[str, _Flow] = {}
        self.num_charges = 0
        self.num_reserved = 0
        self.reserved_tokens = 0
        self.queued_tokens = 0
        self.queued_bytes = 0
        self.queued_items = 0
        self.running_tokens = 0

    @property
    def state(self) -> QueueState:
        return QueueState(
            queued_tokens=self.queued_tokens,
            queued_bytes=self.queued_bytes,
            queued_items=self.queued_items,
            running_tokens=self.running_tokens,
            tokens_per_s=self._throughput.tokens_per_s,
        )

    def told_tokens(self, now_s: float) -> int:
        """Of work that was refused, whose time to come back is yet to come."""
        return self._line.tokens_after(now_s)

    def admit(
        self,
        num_tokens: int,
        num_bytes: int,
        num_items: int,
        deadline_s: float | None,
        now_s: float,
        retry: Retry = NO_RETRY,
        flow: str = "",
    ) -> "Charge":
        """Charge a job, or raise RequestTooLarge, DeadlineTooShort or QueueFull.

        flow: as in `Job`.
        """
        if not self.num_charges:
            # Whoever has a turn in such a line is late or does not come.
            self._line.clear()
        self._require_possible(num_tokens, num_bytes)
        num_tokens_ahead = self._tokens_ahead(num_tokens, flow)
        self._require_time(num_tokens_ahead, deadline_s, now_s)
        latest_s = -math.inf if retry.has_turn else math.inf if deadline_s is None else deadline_s
        self._require_room(num_tokens, num_bytes, now_s, latest_s)
        self._require_short_wait(
            num_tokens, num_tokens_ahead, now_s, latest_s, is_back=retry.is_back
        )
        return Charge(self, num_tokens, num_bytes, num_items, flow)

    def reserve(self, num_tokens: int, num_bytes: int, now_s: float) -> "Charge":
        """Charge work to come, that nobody waits for yet, or raise RequestTooLarge or QueueFull."""
        self._require_possible(num_tokens, num_bytes)
        self._require_room(num_tokens, num_bytes, now_s, math.inf)
        return Charge(self, num_tokens, num_bytes, 0, is_waiting=False)

    def count(self, flow: str, num_jobs: int, num_tokens: int) -> None:
        """So many more or less of a flow are there; where it is "", each job is one of its own."""
        if flow:
            counted = self._flows.setdefault(flow, _Flow())
            counted.num_jobs += num_jobs
            counted.num_tokens += num_tokens
            if not counted.num_jobs:
                del self._flows[flow]

    def step_started(self, num_tokens: int) -> None:
        self.running_tokens += num_tokens

    def step_finished(self, num_tokens: int, elapsed_s: float) -> None:
        self.running_tokens -= num_tokens
        self._throughput.observe(num_tokens, elapsed_s)

    def _require_possible(self, num_tokens: int, num_bytes: int) -> None:
        for needed, limit, unit in (
            (num_tokens, self._limits.max_queued_tokens, "tokens"),
            (num_bytes, self._limits.max_queued_bytes, "bytes"),
        ):
            if needed > limit:
                raise RequestTooLarge(
                    f"the request needs {needed} {unit} and the whole queue holds {limit}"
                )

    def _require_time(self, num_tokens_ahead: int, deadline_s: float | None, now_s: float) -> None:
        if deadline_s is None:
            return
        left_s = deadline_s - now_s
        # 0 when idle, so that a slow start never refuses for ever.
        wait_s = self._seconds_for(self.running_tokens + num_tokens_ahead)
        if left_s <= 0 or wait_s > left_s:
            raise DeadlineTooShort(
                f"{left_s:.3f} s are left before the deadline; the wait is about {wait_s:.3f} s"
            )

    def _tokens_ahead(self, num_tokens: int, flow: str) -> int:
        """Of the queue: of each job no more than this one needs is served before it is through.

        Nor of each other flow more than this one has then, by the weights of `virtual_time.py`.
        """
        own = self._flows.get(flow)
        most = num_tokens * (1 + (own.num_jobs if own else 0))
        num_behind = sum(
            max(0, min(other.num_tokens, other.num_jobs * num_tokens) - most)
            for name, other in self._flows.items()
            if name != flow
        )
        num_waiting = self.queued_tokens - self.reserved_tokens
        return min(num_waiting, self._num_jobs * num_tokens) - num_behind

    @property
    def _num_jobs(self) -> int:
        return self.num_charges - self.num_reserved

    def _require_room(self, num_tokens: int, num_bytes: int, now_s: float, latest_s: float) -> None:
        over_tokens = self.queued_tokens + num_tokens - self._limits.max_queued_tokens
        over_bytes = self.queued_bytes + num_bytes - self._limits.max_queued_bytes
        if over_tokens > 0 or over_bytes > 0:
            over = max(
                over_tokens / (self.queued_tokens or 1), over_bytes / (self.queued_bytes or 1)
            )
            room_s = self._seconds_for(self.queued_tokens * over)
            raise QueueFull(
                "the model's queue has no room for this request now",
                self._turn_s(num_tokens, room_s, now_s, latest_s),
            )

    def _require_short_wait(
        self,
        num_tokens: int,
        num_tokens_ahead: int,
        now_s: float,
        latest_s: float,
        *,
        is_back: bool,
    ) -> None:
        if not num_tokens:
            return
        own_s = self._seconds_for(num_tokens)
        num_queued = num_tokens_ahead / num_tokens
        num_running = self.running_tokens / num_tokens
        num_ahead = min(num_queued + num_running, self._num_jobs)
        is_its_turn = is_back and self._line.take(num_tokens, now_s)
        if is_its_turn or not self._is_pressed(num_tokens, now_s):
            most, most_s = _CALM_JOBS, max(_ALWAYS_S, self._limits.max_queue_s)
            num_counted = num_ahead
        else:
            most, most_s = _PRESSED_JOBS, _ALWAYS_S
            num_counted = min(num_ahead, num_queued + _MOST_RUNNING_JOBS)
        if num_counted < most or num_counted * own_s <= most_s:
            return
        self._refused_s[num_tokens.bit_length()] = now_s
        room_s = num_ahead * own_s - max(_TURN_JOBS * own_s, _TURN_S)
        raise QueueFull(
            "the model has more work now than it can do soon",
            self._turn_s(num_tokens, room_s, now_s, latest_s),
        )

    def _is_pressed(self, num_tokens: int, now_s: float) -> bool:
        """Whether work as short as this, to a power of two, was refused lately."""
        return any(
            size <= num_tokens.bit_length() and now_s - refused_s < _PRESSED_S
            for size, refused_s in self._refused_s.items()
        )

    def _turn_s(self, num_tokens: int, room_s: float, now_s: float, latest_s: float) -> float:
        """When to come back where there is room in `room_s`: behind those who were told before."""
        tokens_per_s = self._throughput.tokens_per_s
        turn_s = self._line.give(num_tokens, room_s, tokens_per_s, now_s, latest_s)
        return min(max(turn_s, _SHORTEST_RETRY_S), _LONGEST_RETRY_S)

    def _seconds_for(self, num_tokens: float) -> float:
        tokens_per_s = self._throughput.tokens_per_s
        return num_tokens / tokens_per_s if tokens_per_s > 0 else 0.0


class Charge:
    """One job's share of an account, given back piece by piece."""

    def __init__(
        self,
        account: Account,
        num_tokens: int,
        num_bytes: int,
        num_items: int,
        flow: str = "",
        *,
        is_waiting: bool = True,
    ) -> None:
        self._account = account
        self._flow = flow
        self._is_waiting = is_waiting
        self.num_tokens = 0
        self.num_bytes = 0
        self.num_items = 0
        self._is_open = True
        account.num_charges += 1
        account.count(flow, 1, 0)
        account.num_reserved += not is_waiting
        self._add(num_tokens, num_bytes, num_items)

    def beside(self, num_tokens: int, num_bytes: int, num_items: int) -> "Charge":
        """Another on the same account that nothing refuses: release as much of this one for it."""
        return Charge(self._account, num_tokens, num_bytes, num_items)

    def grow(self, num_bytes: int) -> None:
        """Hold more, for what was made while the job ran; pausing bounds it, so nothing refuses."""
        self._add(0, num_bytes, 0)

    def release(self, num_tokens: int = 0, num_bytes: int = 0, num_items: int = 0) -> None:
        self._add(-num_tokens, -num_bytes, -num_items)

    def release_all(self) -> None:
        """Give back what is left; idempotent."""
        self.release(self.num_tokens, self.num_bytes, self.num_items)
        if self._is_open:
            self._is_open = False
            self._account.num_charges -= 1
            self._account.count(self._flow, -1, 0)
            self._account.num_reserved -= not self._is_waiting

    def _add(self, num_tokens: int, num_bytes: int, num_items: int) -> None:
        self.num_tokens += num_tokens
        self.num_bytes += num_bytes
        self.num_items += num_items
        self._account.queued_tokens += num_tokens
        self._account.count(self._flow, 0, num_tokens)
        self._account.reserved_tokens += 0 if self._is_waiting else num_tokens
        self._account.queued_bytes += num_bytes
        self._account.queued_items += num_items
