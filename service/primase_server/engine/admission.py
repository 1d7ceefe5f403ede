"""Who may join a model's queue: an account in tokens and bytes, and the charges made to it.

Tokens and bytes are hard bounds. Waiting is bounded too, at the speed measured lately. A burst may
wait, `max_queue_s` or `_CALM_JOBS` times as long as the job takes by itself, whichever is longer.
Whoever comes when that is full is refused, and from then on the queue is kept short, until for
`max_queue_s` nobody had to be refused: of a load that never ends a long queue would make everybody
wait, and answer nobody more.

What counts is the work that runs before the job is through, in fair order: so much work of others
as it has itself of each of them. So short jobs may join behind long ones, and a long job with short
ones in front of it always may.
"""

import math

from primase_server.engine.engine import QueueState
from primase_server.engine.limits import EngineLimits
from primase_server.engine.throughput import Throughput
from primase_server.errors import DeadlineTooShort, QueueFull, RequestTooLarge

_SHORTEST_RETRY_S = 0.1
_LONGEST_RETRY_S = 60.0

_CALM_JOBS = 128
"""Jobs of the same size that may wait, however long that takes."""

_PRESSED_JOBS = 16
"""The same where somebody was refused lately; the step on the device counts."""

_MOST_RUNNING_JOBS = _PRESSED_JOBS // 2
"""As so many at most: a long step gives way to short work."""

_ALWAYS_S = 0.1
"""A wait for which nobody is refused."""


class Account:
    """What one model's queue holds. Guarded by the device's lock."""

    def __init__(self, limits: EngineLimits) -> None:
        self._limits = limits
        self._throughput = Throughput()
        self._refused_s = -math.inf
        self.num_charges = 0
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

    def admit(
        self,
        num_tokens: int,
        num_bytes: int,
        num_items: int,
        deadline_s: float | None,
        now_s: float,
    ) -> "Charge":
        """Charge a job, or raise RequestTooLarge, DeadlineTooShort or QueueFull."""
        self._require_possible(num_tokens, num_bytes)
        self._require_time(num_tokens, deadline_s, now_s)
        self._require_room(num_tokens, num_bytes)
        self._require_short_wait(num_tokens, now_s)
        return Charge(self, num_tokens, num_bytes, num_items)

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

    def _require_time(self, num_tokens: int, deadline_s: float | None, now_s: float) -> None:
        if deadline_s is None:
            return
        left_s = deadline_s - now_s
        wait_s = self._wait_s(num_tokens)
        if left_s <= 0 or wait_s > left_s:
            raise DeadlineTooShort(
                f"{left_s:.3f} s are left before the deadline; the wait is about {wait_s:.3f} s"
            )

    def _wait_s(self, num_tokens: int) -> float:
        """Time for the work in front; 0 when idle, so that a slow start never refuses for ever."""
        # Fair queueing serves no other job more than this one needs before this one is through.
        num_tokens_ahead = min(self.queued_tokens, self.num_charges * num_tokens)
        return self._seconds_for(self.running_tokens + num_tokens_ahead)

    def _require_room(self, num_tokens: int, num_bytes: int) -> None:
        over_tokens = self.queued_tokens + num_tokens - self._limits.max_queued_tokens
        over_bytes = self.queued_bytes + num_bytes - self._limits.max_queued_bytes
        if over_tokens > 0 or over_bytes > 0:
            over = max(
                over_tokens / (self.queued_tokens or 1), over_bytes / (self.queued_bytes or 1)
            )
            retry_after_s = self._seconds_for(self.queued_tokens * over)
            raise QueueFull(
                "the model's queue has no room for this request now",
                _within_bounds(retry_after_s),
            )

    def _require_short_wait(self, num_tokens: int, now_s: float) -> None:
        if not num_tokens:
            return
        num_ahead = min(self.queued_tokens / num_tokens, self.num_charges)
        num_ahead += min(self.running_tokens / num_tokens, _MOST_RUNNING_JOBS)
        own_s = self._seconds_for(num_tokens)
        is_pressed = now_s - self._refused_s < self._limits.max_queue_s < math.inf
        most = _PRESSED_JOBS if is_pressed else _CALM_JOBS
        most_s = _ALWAYS_S if is_pressed else max(_ALWAYS_S, self._limits.max_queue_s)
        if num_ahead < most or num_ahead * own_s <= most_s:
            return
        self._refused_s = now_s
        raise QueueFull(
            "the model has more work now than it can do soon",
            _within_bounds((num_ahead - _PRESSED_JOBS) * own_s),
        )

    def _seconds_for(self, num_tokens: float) -> float:
        tokens_per_s = self._throughput.tokens_per_s
        return num_tokens / tokens_per_s if tokens_per_s > 0 else 0.0


def _within_bounds(retry_after_s: float) -> float:
    return min(max(retry_after_s, _SHORTEST_RETRY_S), _LONGEST_RETRY_S)


class Charge:
    """One job's share of an account, given back piece by piece."""

    def __init__(self, account: Account, num_tokens: int, num_bytes: int, num_items: int) -> None:
        self._account = account
        self.num_tokens = 0
        self.num_bytes = 0
        self.num_items = 0
        self._is_open = True
        account.num_charges += 1
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

    def _add(self, num_tokens: int, num_bytes: int, num_items: int) -> None:
        self.num_tokens += num_tokens
        self.num_bytes += num_bytes
        self.num_items += num_items
        self._account.queued_tokens += num_tokens
        self._account.queued_bytes += num_bytes
        self._account.queued_items += num_items
