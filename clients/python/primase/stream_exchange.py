"""The exchange of a streaming call: one or more messages for each item, each item with one end."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal, Protocol, TypeVar

from google.protobuf.message import Message
from google.rpc import status_pb2

from primase.exchange import Exchange
from primase.results import ItemResult
from primase.statuses import from_status


class StreamResponse(Protocol):
    """What the messages of every bulk stream have in common."""

    item_index: int

    @property
    def failed(self) -> status_pb2.Status:
        """Why the item failed."""

    def HasField(self, field_name: Literal["failed"], /) -> bool:  # noqa: N802  # of protobuf
        """The item failed."""


# At most what the contract allows; requests are cut by their size long before.
MAX_STREAM_ITEMS = 10_000

ItemT = TypeVar("ItemT", bound=Message)
RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT", bound=StreamResponse)
ResponseT_contra = TypeVar("ResponseT_contra", contravariant=True)
ValueT = TypeVar("ValueT")
ValueT_co = TypeVar("ValueT_co", covariant=True)


class Collector(Protocol[ResponseT_contra, ValueT_co]):
    """Takes the messages of one item."""

    def add(self, response: ResponseT_contra, /) -> ValueT_co | None:
        """The item's value, with its last message. ValueError where the message makes no sense."""


class StreamExchange(Exchange[ItemT, RequestT, ResponseT, ValueT]):
    """Items of which each is put together by a collector of its own."""

    def __init__(
        self,
        items: Iterable[tuple[str, ItemT]],
        make_request: Callable[[Sequence[ItemT]], RequestT],
        max_items: int,
        make_collector: Callable[[], Collector[ResponseT, ValueT]],
    ) -> None:
        super().__init__(items, make_request, max_items)
        self._make_collector = make_collector
        self._collector = make_collector()

    def advance(self) -> bool:
        """Take the next batch, with nothing collected yet."""
        self._collector = self._make_collector()
        return super().advance()

    def _read(self, response: ResponseT) -> Iterator[ItemResult[ValueT]]:
        self._require_current(response.item_index)
        if response.HasField("failed"):
            yield from self._end_item(from_status(response.failed))
        elif (value := self._collector.add(response)) is None:
            return
        elif self._is_part(value):
            yield self._part(value)
            return
        else:
            yield from self._end_item(value)
        self._collector = self._make_collector()

    def _is_part(self, value: ValueT) -> bool:
        """More comes of the item after this; no, as a collector gives its item's only value."""
        return False
