"""One-shot work: a job is a list of items, an item is one or more forward passes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from primase_server.engine.quotas import Quotas
from primase_server.errors import PrimaseError


class Pass(Protocol):
    """One forward pass of one sequence."""

    @property
    def payload(self) -> object:
        """What the runner is given; nothing else looks inside."""

    @property
    def num_tokens(self) -> int:
        """Tokens put through the model, special tokens included; at least 1."""

    @property
    def num_bytes(self) -> int:
        """Peak transient and result bytes while it runs."""


class Item(Protocol):
    """One entry of a caller's request."""

    @property
    def num_tokens(self) -> int:
        """Tokens over all its passes: what admission charges."""

    @property
    def num_bytes(self) -> int:
        """Bytes it may hold at once, request and result together."""

    def passes(self) -> Iterator[Pass]:
        """Its passes, in order; drawn one ahead of the device, never all at once."""

    def finish(self, outputs: Sequence[object]) -> object:
        """The result, from the runner's outputs of its passes, in order."""


@dataclass(frozen=True)
class Part:
    """A piece of an item's result that goes to the caller while the rest is still to come."""

    value: object
    num_bytes: int


@runtime_checkable
class SequentialItem(Item, Protocol):
    """An item whose passes run one at a time, each after the output of the one before.

    They may carry state from one to the next. Parts that nobody has read pause the job.
    """

    @property
    def state_bytes(self) -> int:
        """Bytes of state it holds on the device from its first pass to its last."""

    def part(self, output: object) -> Part | None:
        """What of a pass's output is told at once; None keeps the output for `finish`."""


@dataclass(frozen=True)
class Retry:
    """What a caller has been told before, where work was refused to come back.

    is_back: it may have been told a turn, and this be it. has_turn: it is told one by another
    process, so that nobody has to come after one of here.
    """

    is_back: bool = False
    has_turn: bool = False


NO_RETRY = Retry()


@dataclass(frozen=True)
class Job:
    """Encode, predict, score: items that are answered one by one, in their order.

    items: not empty; one already known to be bad is its error, and is reported in its place.
    flow: who waits in line together (a caller's key); "" puts the job in a line of its own.
    deadline_s: a `time.monotonic()` value, or None.
    quotas: what the caller may have; None is no limit.
    edition: of the model's weights that the items were made for; 0 is any.
    retry: what the caller has been told before.
    """

    model: str
    request_id: str
    items: Sequence[Item | PrimaseError]
    flow: str = ""
    deadline_s: float | None = None
    quotas: Quotas | None = None
    edition: int = 0
    retry: Retry = NO_RETRY

    @property
    def num_tokens(self) -> int:
        return sum(item.num_tokens for item in self._sound_items())

    @property
    def num_bytes(self) -> int:
        return sum(item.num_bytes for item in self._sound_items())

    def _sound_items(self) -> Iterator[Item]:
        return (item for item in self.items if not isinstance(item, PrimaseError))
