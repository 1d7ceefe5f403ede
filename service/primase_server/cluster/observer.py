"""Hooks for metrics; all are called on the event loop."""

from typing import Protocol


class ClusterObserver(Protocol):
    """Told of what happens to replicas."""

    def scaled(self, model: str, before: int, after: int) -> None:
        """Another number of replicas is desired."""

    def replica_ready(self, model: str, elapsed_s: float) -> None:
        """It took so long from the wish for it."""

    def replica_failed(self, model: str, was_ready: bool) -> None:
        """It could not start, or ended by itself."""

    def reloaded(self, model: str, is_done: bool) -> None:
        """A reload is through, or was given up."""


class SilentClusterObserver:
    """Listens to nothing."""

    def scaled(self, model: str, before: int, after: int) -> None: ...

    def replica_ready(self, model: str, elapsed_s: float) -> None: ...

    def replica_failed(self, model: str, was_ready: bool) -> None: ...

    def reloaded(self, model: str, is_done: bool) -> None: ...
