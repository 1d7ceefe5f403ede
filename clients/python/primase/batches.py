"""Any number of items, read lazily and cut into batches that one request can hold."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import grpc
from google.protobuf.message import Message

from primase.exceptions import PrimaseError, RequestTooLarge

ItemT = TypeVar("ItemT", bound=Message)

# Enough for many full steps of the device, and small beside the 4 MiB that gRPC reads by default.
TARGET_BATCH_BYTES = 256 * 1024
MAX_ITEM_BYTES = 4 * 1024 * 1024 - 64 * 1024


@dataclass(frozen=True)
class Entry(Generic[ItemT]):
    """One item of a call. With an `error` it has failed already and is not sent."""

    index: int
    id: str
    item: ItemT
    error: PrimaseError | None = None

    def failed(self, error: PrimaseError) -> "Entry[ItemT]":
        """The same entry, failed."""
        return replace(self, error=error)


def request_bytes(item: Message) -> int:
    """What the item adds to a request."""
    return item.ByteSize()


class BatchFeed(Generic[ItemT]):
    """Hands out batches in order. What a server refused to take at once can be given back.

    num_bytes: how much of `TARGET_BATCH_BYTES` an item takes.
    """

    def __init__(
        self,
        items: Iterable[tuple[str, ItemT]],
        max_items: int,
        num_bytes: Callable[[ItemT], int] = request_bytes,
    ) -> None:
        self._num_bytes = num_bytes
        self._items = enumerate(items)
        self._returned: deque[Entry[ItemT]] = deque()
        self._max_items = max_items
        self._num_items = max_items

    def take(self) -> list[Entry[ItemT]]:
        """The next batch: at least one entry, or none at the end."""
        batch: list[Entry[ItemT]] = []
        num_bytes = 0
        for entry in self._entries():
            num_bytes += self._num_bytes(entry.item)
            if batch and num_bytes > TARGET_BATCH_BYTES:
                self._returned.appendleft(entry)
                break
            batch.append(entry)
            if len(batch) >= self._num_items:
                break
        return batch

    def give_back(self, entries: Sequence[Entry[ItemT]]) -> None:
        """Hand these out again before any other."""
        self._returned.extendleft(reversed(entries))

    def shrink(self, num_items: int) -> None:
        """Make batches of at most `num_items` for now."""
        self._num_items = num_items

    def grow(self) -> None:
        """Make larger batches again, little by little."""
        self._num_items = min(self._max_items, self._num_items + self._num_items // 4 + 1)

    def _entries(self) -> Iterator[Entry[ItemT]]:
        while self._returned:
            yield self._returned.popleft()
        for index, (id_, item) in self._items:
            yield _checked(Entry(index, id_, item))


def _checked(entry: Entry[ItemT]) -> Entry[ItemT]:
    num_bytes = entry.item.ByteSize()
    if num_bytes <= MAX_ITEM_BYTES:
        return entry
    message = f"the item takes {num_bytes} bytes; a request holds {MAX_ITEM_BYTES}"
    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    return entry.failed(RequestTooLarge(message, code, "REQUEST_TOO_LARGE"))
