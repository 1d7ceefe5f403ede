"""What every call returns for an item, and where its time went."""

from dataclasses import dataclass
from typing import Generic, Self, TypeVar

from primase.exceptions import PrimaseError
from primase.type.v1 import usage_pb2

ValueT_co = TypeVar("ValueT_co", covariant=True)


@dataclass(frozen=True)
class ItemResult(Generic[ValueT_co]):
    """What came of one item: its value, or the error that it failed with.

    index: place of the item among all that were given to the call.
    id: as given, or empty.
    """

    index: int
    id: str
    outcome: ValueT_co | PrimaseError

    @property
    def error(self) -> PrimaseError | None:
        """The error the item failed with, or None."""
        return self.outcome if isinstance(self.outcome, PrimaseError) else None

    @property
    def value(self) -> ValueT_co:
        """The item's value. Raises the error the item failed with."""
        if isinstance(self.outcome, PrimaseError):
            raise self.outcome
        return self.outcome


@dataclass(frozen=True)
class Timings:
    """Where the time went, in milliseconds of wall time on the server."""

    queue_ms: float
    compute_ms: float
    total_ms: float

    @classmethod
    def of(cls, message: usage_pb2.Timings) -> Self:
        """Those of a message."""
        return cls(message.queue_ms, message.compute_ms, message.total_ms)
