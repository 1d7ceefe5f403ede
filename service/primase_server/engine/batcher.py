"""Which passes share the next step: weighted fair queueing in virtual time, within a budget.

Every waiting job is in the order by one number, the virtual finish time of its next pass
(`virtual_time.py`). So flows get equal shares of the device whatever their number of jobs, a short
pass comes before long ones that joined at the same time, and a job that used room nobody else could
use is set back for it by one batch at most.

A step takes passes in that order. The first always goes. One that does not fit what is left is
passed over for smaller ones behind it and keeps its place, so it is nearer to the front next time.
So is one that is much longer or shorter than those that are in: a step ends as a whole, and short
work would wait for the long beside it, where it could run before, or while the other gives way.
A short step, which is run while a long one gives way, takes only what fits it, the first included.
Lengths are not grouped beyond that: runners take ragged batches, and equal neighbours save nothing.

Nobody starves. A pass that becomes the head of its job is started, unless the job pauses, before

    F * (B + n * k) + J * B

tokens of other passes have been, short steps apart: n is its length, k the waiting jobs of its
flow, B the budget of a step, F and J the most flows and jobs that wait at once. By the first term
virtual time has reached its finish, so that whoever joins from then on is behind it; those still
before it, one pass of each other job, go one or more in a step. Admission bounds F and J.
"""

from heapq import heappop, heappush
from itertools import count
from typing import NamedTuple

from primase_server.engine.limits import EngineLimits
from primase_server.engine.queued_job import QueuedJob, QueuedPass
from primase_server.engine.scheduler import ShortStep
from primase_server.engine.virtual_time import VirtualTime

_MOST_PASSED_OVER = 64
_MOST_TIMES_AS_LONG = 8


class _Place(NamedTuple):
    finish: float
    arrival: int
    head: QueuedPass


class Batcher:
    """The waiting jobs of one model, in fair order. Not thread-safe."""

    def __init__(self, limits: EngineLimits) -> None:
        self._limits = limits
        self._time = VirtualTime(limits.max_batch_tokens)
        self._order: list[tuple[float, int, QueuedJob]] = []
        self._places: dict[QueuedJob, _Place] = {}
        self._waiting_for_room: dict[QueuedJob, None] = {}
        self._arrivals = count()

    def offer(self, job: QueuedJob) -> None:
        """Give the job the place that its head deserves; none if it has no head that may start."""
        head = job.ready_head
        if job in self._places and self._places[job].head is head:
            return
        self.withdraw(job)
        if head is None and job.head is not None:
            self._waiting_for_room[job] = None
        if head is not None:
            self._time.join(job.flow)
            finish = self._time.finish(job.flow, job.virtual_finish, head.work.num_tokens)
            place = _Place(finish, next(self._arrivals), head)
            self._places[job] = place
            heappush(self._order, (place.finish, place.arrival, job))

    def withdraw(self, job: QueuedJob) -> None:
        """Take the job out of the order; what is left in the heap is skipped when it comes up."""
        self._waiting_for_room.pop(job, None)
        if self._places.pop(job, None) is not None:
            self._time.leave(job.flow)

    def offer_waiting(self) -> None:
        """Room was made: give their places to the jobs that waited for some."""
        for job in tuple(self._waiting_for_room):
            self.offer(job)

    def plan(
        self, now_s: float, max_tokens: int | None = None, short: ShortStep | None = None
    ) -> list[QueuedPass]:
        """Start the passes of one step: within both budgets, and none of an expired job.

        `max_tokens` narrows the step further, for all but its first pass; `short` for all.
        """
        left_bytes = self._limits.max_batch_bytes
        left_tokens = self._limits.max_batch_tokens
        if max_tokens is not None:
            left_tokens = min(left_tokens, max(1, max_tokens))
        if short is not None:
            left_tokens = min(left_tokens, short.max_tokens)
            left_bytes = min(left_bytes, int(left_bytes * short.share))
        started: list[QueuedPass] = []
        must_fit = short is not None
        passed_over: list[tuple[float, int, QueuedJob]] = []
        while self._order and left_tokens > 0 and len(passed_over) < _MOST_PASSED_OVER:
            finish, arrival, job = heappop(self._order)
            place = self._places.get(job)
            if place is None or place.arrival != arrival:
                continue
            work = place.head.work
            is_too_large = must_fit and (
                work.num_tokens > left_tokens or work.num_bytes > left_bytes
            )
            if job.has_expired(now_s):
                self.withdraw(job)
            elif place.head is not job.ready_head:
                self.offer(job)
            elif is_too_large or not _alike(work.num_tokens, started):
                passed_over.append((finish, arrival, job))
            else:
                left_tokens -= work.num_tokens
                left_bytes -= work.num_bytes
                self._start(place, now_s)
                started.append(place.head)
                must_fit = True
        for waiting in passed_over:
            heappush(self._order, waiting)
        return started

    def _start(self, place: _Place, now_s: float) -> None:
        job = place.head.job
        self._time.spend(place.head.work.num_tokens)
        job.virtual_finish = place.finish
        job.start(place.head, now_s)
        self.offer(job)


def _alike(num_tokens: int, started: list[QueuedPass]) -> bool:
    lengths = [num_tokens, *(queued.work.num_tokens for queued in started)]
    return max(lengths) <= _MOST_TIMES_AS_LONG * min(lengths)
