"""What the device loop drives: one scheduler for each model and kind of work.

    add ──> plan ──> step.run ──> step.settle ──> deliveries to recipients
                    (device thread)

All methods are called with the device's lock held, but for `Step.run`, which may take long.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from primase_server.engine.engine import Pace, QueueState
from primase_server.engine.events import Event, Heartbeat

GiveWay = Callable[[], None]
"""Called by a long step between two of its parts: short work of any model may run meanwhile."""

JobT_contra = TypeVar("JobT_contra", contravariant=True)


class Recipient(Protocol):
    """Where the events of one job go. A scheduler tells them apart and leaves `deliver` alone."""

    def deliver(self, delivery: "Delivery") -> None:
        """Take an event; on the event loop only."""


@dataclass(frozen=True)
class Delivery:
    """An event on its way; `num_bytes` come back through `read` once the caller has it."""

    recipient: Recipient
    event: Event
    num_bytes: int = 0
    is_last: bool = False


@dataclass(frozen=True)
class ShortStep:
    """What may run while a long step gives way: so many tokens, and that share of other budgets."""

    max_tokens: int
    share: float


class Step(Protocol):
    """One turn of one model on the device."""

    @property
    def num_tokens(self) -> int: ...

    @property
    def batch_size(self) -> int:
        """Sequences that share the step."""

    @property
    def pace(self) -> Pace:
        """Of the tokens that it drew; known once it is settled."""

    def run(self, give_way: GiveWay) -> None:
        """Do the work on the device thread, without the lock; catches what a runner raises."""

    def settle(self, now_s: float) -> Sequence[Delivery]:
        """Account for the work done and tell what became of it."""


class Planner(Protocol):
    """A scheduler of any kind of work, once the work is in."""

    @property
    def state(self) -> QueueState: ...

    def plan(self, now_s: float, short: ShortStep | None = None) -> Step | None:
        """The next step, without expired jobs and paused ones; None when nothing can start.

        With `short`, a step within those bounds or none.
        """

    def read(self, recipient: Recipient, num_bytes: int) -> None:
        """The caller has events of `num_bytes`: a paused job may go on."""

    def heartbeat(self, recipient: Recipient) -> Heartbeat | None:
        """How far a generation is that has told nothing for a while; None of other work."""

    def forget(self, recipient: Recipient) -> None:
        """Free all that the job still holds; one not known is no error."""


class Scheduler(Planner, Protocol[JobT_contra]):
    """Decides what runs together for one model."""

    def add(self, job: JobT_contra, recipient: Recipient, now_s: float) -> Sequence[Delivery]:
        """Admit the job or raise a PrimaseError; what is known of it at once is returned."""
