"""The line of those who were refused: their turns, and how a burst that keeps to them is done."""

import heapq
from collections import deque
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from primase_server.engine.admission import Account, Charge
from primase_server.engine.job import Retry
from primase_server.engine.line import Line
from primase_server.errors import QueueFull
from tests.engine.toys import ROOMY

SPEED = 100.0
SIZE = 10
MOST_ATTEMPTS = 5
"""Of gRPC."""

Asked = tuple[int, float]
ASKED = st.lists(
    st.tuples(st.integers(1, 500), st.floats(0, 3)), min_size=1, max_size=50
)  # tokens, and seconds since the one before


def turns(asked: list[Asked], line: Line | None = None) -> list[tuple[float, float]]:
    """When each asked, and how long after that its turn is."""
    line = line or Line()
    now_s, told = 0.0, []
    for num_tokens, later_s in asked:
        now_s += later_s
        told.append((now_s, line.give(num_tokens, 1.0, SPEED, now_s)))
    return told


@given(ASKED)
def test_turns_are_bounded_and_the_same_for_the_same_calls(asked: list[Asked]) -> None:
    told = turns(asked)
    assert all(1.0 <= turn_s <= 31.0 for _, turn_s in told)
    assert turns(asked) == told


@given(st.integers(1, 2000), st.integers(1, 100))
def test_the_turns_of_equals_that_ask_at_once_follow_one_another(size: int, num: int) -> None:
    told = [turn_s for _, turn_s in turns([(size, 0.0)] * num)]
    own_s = size / SPEED
    in_line = told[: int(30.0 / own_s)]
    assert all(b - a == pytest.approx(own_s) for a, b in pairwise(in_line))
    beyond = told[int(30.0 / own_s) + 1 :]
    assert all(23.5 <= turn_s <= 31.0 for turn_s in beyond)
    assert len(set(beyond)) == len(beyond)


@given(ASKED)
def test_turns_are_forgotten_when_they_have_come(asked: list[Asked]) -> None:
    line = Line()
    last_s = max(now_s + turn_s for now_s, turn_s in turns(asked, line))
    assert line.give(10, 0.5, SPEED, last_s) == 0.5
    assert len(line) == 1


def test_a_short_job_has_its_turn_before_long_ones() -> None:
    line = Line()
    for _ in range(3):
        line.give(300, 0.5, SPEED, 0.0)
    assert line.give(10, 0.5, SPEED, 0.0) == pytest.approx(0.5 + 3 * 10 / SPEED)


class Burst:
    """Threads that call again and again, and come back when they are told to, somewhat late.

    One of their jobs takes a tenth of a second at the speed that was measured before. Time is
    only what the device takes. Gives the time until all are done, and the attempts of each call.
    """

    def __init__(self, speed: float, late_s: float) -> None:
        self.now_s = 0.0
        self.attempts: list[int] = []
        self._speed = speed
        self._late_s = late_s
        self._account = Account(replace(ROOMY, max_queue_s=2.0))
        self._account.step_started(100)
        self._account.step_finished(100, 100 / SPEED)
        self._queue: deque[tuple[Charge, int]] = deque()
        self._events: list[tuple[float, int, int]] = []

    def run(self, num_threads: int, calls_each: int) -> None:
        self._events = [(0.0, 0, calls_each)] * num_threads
        while self._events or self._queue:
            if self._queue and (not self._events or self._events[0][0] > self.now_s):
                self._step()
            else:
                self._call(*heapq.heappop(self._events))

    def _step(self) -> None:
        charge, num_left = self._queue.popleft()
        charge.release_all()
        self._account.step_started(SIZE)
        self.now_s += SIZE / self._speed
        self._account.step_finished(SIZE, SIZE / self._speed)
        if num_left:
            heapq.heappush(self._events, (self.now_s + 0.005, 0, num_left))

    def _call(self, at_s: float, num_before: int, num_left: int) -> None:
        self.now_s = max(self.now_s, at_s)
        retry = Retry(is_back=num_before > 0)
        try:
            charge = self._account.admit(SIZE, 0, 1, None, at_s, retry)
        except QueueFull as refused:
            again_s = at_s + (refused.retry_after_s or 0.0) + self._late_s
            heapq.heappush(self._events, (again_s, num_before + 1, num_left))
        else:
            self.attempts.append(num_before + 1)
            self._queue.append((charge, num_left - 1))


@settings(max_examples=20)
@given(
    num_threads=st.integers(1, 250),
    calls_each=st.integers(1, 3),
    speed=st.floats(0.9 * SPEED, 1.2 * SPEED),
    late_s=st.floats(0.0, 0.05),
)
def test_many_calls_at_once_are_done_without_a_loss_and_without_a_break(
    num_threads: int, calls_each: int, speed: float, late_s: float
) -> None:
    burst = Burst(speed, late_s)
    burst.run(num_threads, calls_each)
    assert len(burst.attempts) == num_threads * calls_each
    assert max(burst.attempts) <= MOST_ATTEMPTS
    assert burst.now_s <= 1.05 * len(burst.attempts) * SIZE / min(speed, SPEED) + 0.5
    if num_threads <= 32:
        assert max(burst.attempts) == 1
