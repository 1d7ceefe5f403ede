"""The one thread that drives a device: plan, run, settle, hand over; model after model."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from primase_server.engine.failures import log_exception
from primase_server.engine.scheduler import Delivery, Planner, Step


@dataclass(frozen=True)
class StepReport:
    """All that one step has to tell."""

    model: str
    num_tokens: int
    batch_size: int
    elapsed_s: float
    deliveries: Sequence[Delivery]


@dataclass(frozen=True, eq=False)
class Turn:
    """One scheduler's place in the round."""

    model: str
    planner: Planner


class DeviceLoop:
    """Round robin over the schedulers of one device.

    on_step: takes the report of a step. on_broken: takes a turn whose scheduler itself raised, and
    which is out of the round. Both are called on the device thread and must return at once.
    """

    def __init__(
        self, device: str, on_step: Callable[[StepReport], None], on_broken: Callable[[Turn], None]
    ) -> None:
        self._on_step = on_step
        self._on_broken = on_broken
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
        while self._take_turn():
            pass

    def _take_turn(self) -> bool:
        planned = self._next_step()
        if planned is not None:
            self._run(*planned)
        return planned is not None

    def _next_step(self) -> tuple[Turn, Step] | None:
        """Wait for work; None once stopping."""
        with self._changed:
            while not self._is_stopping:
                for turn in tuple(self._turns):
                    if (step := self._plan(turn)) is not None:
                        self._turns.remove(turn)
                        self._turns.append(turn)
                        return turn, step
                self._changed.wait()
        return None

    def _plan(self, turn: Turn) -> Step | None:
        try:
            return turn.planner.plan(time.monotonic())
        except Exception as error:  # noqa: BLE001  the thread serves other models too
            self._break(turn, error)
            return None

    def _run(self, turn: Turn, step: Step) -> None:
        started_s = time.monotonic()
        try:
            step.run()
            now_s = time.monotonic()
            with self._changed:
                deliveries = step.settle(now_s)
        except Exception as error:  # noqa: BLE001  the thread serves other models too
            self._break(turn, error)
        else:
            elapsed_s = now_s - started_s
            self._on_step(
                StepReport(turn.model, step.num_tokens, step.batch_size, elapsed_s, deliveries)
            )

    def _break(self, turn: Turn, error: Exception) -> None:
        """A fault in a scheduler, not in a runner: its books can no longer be trusted."""
        log_exception(f"the scheduler of {turn.model} failed", error)
        self.remove(turn)
        self._on_broken(turn)
