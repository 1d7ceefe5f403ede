"""What one caller may have of the engine, over all of their jobs and all models."""

from typing import Protocol


class Share(Protocol):
    """What one job takes of its caller's quotas."""

    def give_back(self) -> None:
        """The job was not admitted: all is as if it had never been asked for."""

    def end(self, num_unused: int = 0) -> None:
        """The job has ended without so many of its tokens."""


class Quotas(Protocol):
    """Asked on the event loop, before a job may join a queue."""

    def take(self, num_tokens: int) -> Share:
        """Tokens of a whole job. Raises QuotaExceeded, or RequestTooLarge for what never fits."""


class NoShare:
    """Of a caller without quotas."""

    def give_back(self) -> None:
        """Nothing was taken."""

    def end(self, num_unused: int = 0) -> None:
        """Nothing was taken."""
