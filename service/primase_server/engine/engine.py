"""What callers of an engine rely on, whether it runs in this process or in another."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from primase_server.engine.events import Event, Heartbeat
from primase_server.engine.generation import GenerationJob
from primase_server.engine.job import Job


@dataclass(frozen=True)
class Pace:
    """Of the tokens that a step drew: seconds since their jobs came in for the first of a sample,
    since the token before for the others."""

    first_s: list[float] = field(default_factory=list)
    between_s: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class QueueState:
    """One model's queue at one moment.

    queued_tokens: of passes not yet started.
    queued_bytes: of items waiting, running, or finished and not yet read.
    queued_items: not yet ended.
    running_tokens: in the step on the device.
    tokens_per_s: measured lately; 0.0 until the first step.
    num_sequences: that hold state on the device. state_bytes: reserved for that.
    told_tokens: of work that was refused, whose callers were told to come back later than now.
    """

    queued_tokens: int
    queued_bytes: int
    queued_items: int
    running_tokens: int
    tokens_per_s: float
    num_sequences: int = 0
    state_bytes: int = 0
    told_tokens: int = 0

    def with_other(self, other: "QueueState") -> "QueueState":
        """Two kinds of work of one model, taken together; the faster one's speed."""
        return QueueState(
            queued_tokens=self.queued_tokens + other.queued_tokens,
            queued_bytes=self.queued_bytes + other.queued_bytes,
            queued_items=self.queued_items + other.queued_items,
            running_tokens=self.running_tokens + other.running_tokens,
            tokens_per_s=max(self.tokens_per_s, other.tokens_per_s),
            num_sequences=self.num_sequences + other.num_sequences,
            state_bytes=self.state_bytes + other.state_bytes,
            told_tokens=self.told_tokens + other.told_tokens,
        )


class Ticket(Protocol):
    """One accepted job: an async iterator of its events, for one reader.

    The iterator ends after the last event and raises a PrimaseError when the job as a whole fails.
    Reading is what lets a job go on: unread results are bounded, and a reader who stops pauses its
    own job only. A ticket left unread keeps its place and its bytes, so always cancel at the end:

        ticket = engine.submit(job)
        try:
            async for event in ticket: ...
        finally:
            ticket.cancel()
    """

    def __aiter__(self) -> AsyncIterator[Event]: ...

    async def take(
        self, max_bytes: int, timeout_s: float | None = None, gather_s: float = 0.0
    ) -> Sequence[Event]:
        """All unread events of at most so many bytes, but at least one; none after the last.

        Waits for one. Where `gather_s` is given, tokens wait so long for more of them, up to so
        many bytes; any other event, and the end, is taken at once with all that came before it.
        Raises TimeoutError where nothing comes in another `timeout_s`, else as the iterator.
        """

    def heartbeat(self) -> Heartbeat | None:
        """How far a generation is; None of other work, and of what has ended."""

    def cancel(self) -> None:
        """Give the job up: its queued work is freed before the next step. Idempotent."""


class Engine(Protocol):
    """Runs jobs. A remote engine may raise the errors of `submit` from the ticket instead."""

    def submit(self, job: Job | GenerationJob) -> Ticket:
        """Admit the job at once, or raise.

        Raises QueueFull, RequestTooLarge, UnknownModel, ModelNotReady, NotServed, DeadlineTooShort,
        InvalidRequest or ShuttingDown. A single bad item is an event, never an error here.
        """

    def queue_state(self, name: str) -> QueueState:
        """All work of one model; raises UnknownModel or ModelNotReady."""

    async def drain(self, timeout_s: float) -> None:
        """Wait until no job is queued or running; raises TimeoutError. Does not refuse new jobs."""

    async def close(self) -> None:
        """Refuse new jobs, end open ones with ShuttingDown, let the running step end."""
