"""Hooks for metrics; all are called on the event loop."""

from typing import Protocol

from primase_server.errors import PrimaseError


class EngineObserver(Protocol):
    """Told of what the engine did, after the callers were."""

    def step_finished(
        self, model: str, num_tokens: int, batch_size: int, elapsed_s: float
    ) -> None: ...

    def job_ended(self, model: str, error: PrimaseError | None, total_s: float) -> None:
        """`error`: of the job as a whole, Cancelled included; None once its last event is out."""

    def model_lost(self, model: str) -> None:
        """Its device or its scheduler failed, and it answers no more."""


class SilentObserver:
    """Listens to nothing."""

    def step_finished(
        self, model: str, num_tokens: int, batch_size: int, elapsed_s: float
    ) -> None: ...

    def job_ended(self, model: str, error: PrimaseError | None, total_s: float) -> None: ...

    def model_lost(self, model: str) -> None: ...
