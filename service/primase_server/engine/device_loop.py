"""The one thread that drives a device: plan, run, settle, hand over; model after model."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from primase_server.engine.engine import Pace
from primase_server.engine.failures import log_exception
from primase_server.engine.scheduler import Delivery, GiveWay, Planner, ShortStep, Step

# A long step gives way to work of at most this share of its tokens at a time, and as long as the
# time given is at most this share of its own: so it takes at most half as long again.
SHORT_TOKENS_SHARE = 1 / 8
GIVEN_TIME_SHARE = 1 / 2


@dataclass(frozen=True)
class StepReport:
    """All that one step has to tell."""

    model: str
    num_tokens: int
    batch_size: int
    elapsed_s: float
    deliveries: Sequence[Delivery]
    pace: Pace


@dataclass(frozen=True, eq=False)
class Turn:
    """One scheduler's place in the round."""

    model: str
    planner: Planner


@dataclass
class Courtesy:
    """What one long step has given to short work so far."""

    num_tokens: int
    started_s: float
    given_s: float = 0.0

    def offer(self, now_s: float) -> ShortStep | None:
        """Bounds of a short step that may run now; None when none may."""
        own_s = now_s - self.started_s - self.given_s
        max_tokens = int(self.num_tokens * SHORT_TOKENS_SHARE)
        if max_tokens < 1 or self.given_s > own_s * GIVEN_TIME_SHARE:
            return None
        return ShortStep(max_tokens, SHORT_TOKENS_SHARE)


def _keep_on() -> None:
    """A short step gives way to nothing."""


class DeviceLoop:
    """Round robin over the schedulers of one device.

    on_step: takes the report of a step. on_broken: takes a turn whose scheduler itself raised, and
    which is out of the round. on_died: told that the thread ends, though nobody stopped it. All are
    called on the device thread and must return at once.
    """

    def __init__(
        self,
        device: str,
        on_step: Callable[[StepReport], None],
        on_broken: Callable[[Turn], None],
        on_died: Callable[[], None],
    ) -> None:
        self._on_step = on_step
        self._on_broken = on_broken
        self._on_died = on_died
        self._turns: deque[Turn] = deque()
        self._is_stopping = False
        self._changed = threading.Condition()
        # A daemon, so that a second signal can end the process in the middle of a step.
        self._thread = threading.Thread(target=self._serve, name=f"primase-{device}", daemon=True)
        self._thread.start()

    @contextmanager
    def changing(self) -> Iterator[None]:
        """The lock that guards every scheduler of this device; the loop looks again afterwards."""
        with self._changed:
            yield
            self._changed.notify()

    def add(self, turn: Turn) -> None:
        with self.changing():
            self._turns.append(turn)

    def remove(self, turn: Turn) -> None:
        with self.changing():
            if turn in self._turns:
                self._turns.remove(turn)

    def stop(self) -> None:
        """Let the running step end, then the thread. Blocks; idempotent."""
        with self.changing():
            self._is_stopping = True
        self._thread.join()

    def _serve(self) -> None:
        try:
            while self._take_turn():
                pass
        except BaseException as error:  # noqa: BLE001  whatever it is, somebody must know
            log_exception("the thread of a device died", error)
            self._on_died()

    def _take_turn(self) -> bool:
        planned = self._next_step()
        if planned is not None:
            self._run(*planned)
        return planned is not None

    def _give_way(self, courtesy: "Courtesy") -> None:
        """Run one short step of any model, if one waits and the long step has time for it."""
        short = courtesy.offer(time.monotonic())
        if short is None:
            return
        with self._changed:
            planned = None if self._is_stopping else self._look_round(short)
        if planned is not None:
            started_s = time.monotonic()
            self._run(*planned, give_way=_keep_on)
            courtesy.given_s += time.monotonic() - started_s

    def _next_step(self) -> tuple[Turn, Step] | None:
        """Wait for work; None once stopping."""
        with self._changed:
            while not self._is_stopping:
                if (planned := self._look_round()) is not None:
                    return planned
                self._changed.wait()
        return None

    def _look_round(self, short: ShortStep | None = None) -> tuple[Turn, Step] | None:
        for turn in tuple(self._turns):
            if (step := self._plan(turn, short)) is not None:
                if short is None:
                    self._turns.remove(turn)
                    self._turns.append(turn)
                return turn, step
        return None

    def _plan(self, turn: Turn, short: ShortStep | None) -> Step | None:
        try:
            return turn.planner.plan(time.monotonic(), short)
        except Exception as error:  # noqa: BLE001  the thread serves other models too
            self._break(turn, error)
            return None

    def _run(self, turn: Turn, step: Step, give_way: GiveWay | None = None) -> None:
        started_s = time.monotonic()
        courtesy = Courtesy(step.num_tokens, started_s)
        try:
            step.run(give_way or (lambda: self._give_way(courtesy)))
            now_s = time.monotonic()
            with self._changed:
                deliveries = step.settle(now_s)
        except Exception as error:  # noqa: BLE001  the thread serves other models too
            self._break(turn, error)
        except BaseException:
            self._abandon(step)
            raise
        else:
            report = StepReport(
                turn.model,
                step.num_tokens,
                step.batch_size,
                now_s - started_s,
                deliveries,
                step.pace,
            )
            self._on_step(report)

    def _abandon(self, step: Step) -> None:
        """Let go of what the step holds; what came of it is told to nobody."""
        with suppress(Exception), self._changed:
            step.settle(time.monotonic())

    def _break(self, turn: Turn, error: Exception) -> None:
        """A fault in a scheduler, not in a runner: its books can no longer be trusted."""
        log_exception(f"the scheduler of {turn.model} failed", error)
        self.remove(turn)
        self._on_broken(turn)
