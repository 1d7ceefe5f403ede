"""Hooks for metrics; all are called on the event loop."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from primase_server.engine.engine import Pace
from primase_server.errors import PrimaseError


@dataclass(frozen=True)
class StepSeen:
    """One step that is through.

    num_tokens: put through the model, of at most max_tokens. num_rows: sequences that shared it.
    elapsed_s: on the device, with what it gave to shorter steps. pace: of the tokens it drew.
    """

    num_tokens: int
    max_tokens: int
    num_rows: int
    elapsed_s: float
    pace: Pace


class EngineObserver(Protocol):
    """Told of what the engine did, after the callers were."""

    def step_finished(self, model: str, step: StepSeen) -> None: ...

    def job_admitted(self, model: str) -> None: ...

    def job_refused(self, model: str, error: PrimaseError) -> None:
        """It was not let into the queue."""

    def job_ended(self, model: str, error: PrimaseError | None, total_s: float) -> None:
        """`error`: of the job as a whole, Cancelled included; None once its last event is out."""

    def model_lost(self, model: str) -> None:
        """Its device or its scheduler failed, and it answers no more."""

    def not_finite(self, model: str) -> None:
        """It gave numbers that are not finite, which cost those who had asked their answer."""

    def device_ended(self, models: Sequence[str]) -> None:
        """The thread of their device died, and they answer no more until they are added again."""


class SilentObserver:
    """Listens to nothing."""

    def step_finished(self, model: str, step: StepSeen) -> None: ...

    def job_admitted(self, model: str) -> None: ...

    def job_refused(self, model: str, error: PrimaseError) -> None: ...

    def job_ended(self, model: str, error: PrimaseError | None, total_s: float) -> None: ...

    def model_lost(self, model: str) -> None: ...

    def not_finite(self, model: str) -> None: ...

    def device_ended(self, models: Sequence[str]) -> None: ...


class Observers:
    """Several as one."""

    def __init__(self, observers: Sequence[EngineObserver]) -> None:
        self._observers = observers

    def step_finished(self, model: str, step: StepSeen) -> None:
        for observer in self._observers:
            observer.step_finished(model, step)

    def job_admitted(self, model: str) -> None:
        for observer in self._observers:
            observer.job_admitted(model)

    def job_refused(self, model: str, error: PrimaseError) -> None:
        for observer in self._observers:
            observer.job_refused(model, error)

    def job_ended(self, model: str, error: PrimaseError | None, total_s: float) -> None:
        for observer in self._observers:
            observer.job_ended(model, error, total_s)

    def model_lost(self, model: str) -> None:
        for observer in self._observers:
            observer.model_lost(model)

    def not_finite(self, model: str) -> None:
        for observer in self._observers:
            observer.not_finite(model)

    def device_ended(self, models: Sequence[str]) -> None:
        for observer in self._observers:
            observer.device_ended(models)
