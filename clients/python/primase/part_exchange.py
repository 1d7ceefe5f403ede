"""The exchange of a streaming call whose messages are handed on as they come."""

from typing import Protocol, TypeVar

from google.protobuf.message import Message

from primase.exceptions import PrimaseError
from primase.stream_exchange import StreamExchange, StreamResponse


class Part(Protocol):
    """Something of an item."""

    @property
    def last(self) -> bool:
        """Nothing more comes of the item."""


ItemT = TypeVar("ItemT", bound=Message)
RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT", bound=StreamResponse)
PartT = TypeVar("PartT", bound=Part)


class PartExchange(StreamExchange[ItemT, RequestT, ResponseT, PartT]):
    """One result for each message of an item: the last has `last` set, or is an error."""

    _started = -1

    def failed(self, error: PrimaseError) -> None:
        """As of every exchange, except that an item of which some was handed on is not sent again:
        the error is raised then.
        """
        if self._waiting and self._waiting[0].index == self._started:
            raise self._numbered(error)
        super().failed(error)

    def _is_part(self, value: PartT) -> bool:
        if not value.last:
            self._started = self._waiting[0].index
        return not value.last
