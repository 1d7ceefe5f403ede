"""A bulk call without its transport: which requests to send, and what their answers mean.

Items are read lazily and sent in as many requests as they need; results come in the order of the
items, each item has exactly one, and an item that fails costs no other. A transport, blocking or
asyncio, takes these steps and no others:

    while exchange.advance():
        try:
            send exchange.request(), and for each message of the answer: exchange.read(message)
        except an error of the call:
            exchange.failed(error)
        else:
            exchange.end()
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar

from google.protobuf.message import Message

from primase.batches import BatchFeed, Entry, request_bytes
from primase.exceptions import BrokenAnswer, PrimaseError, RequestTooLarge, ResponseTooLarge
from primase.item_errors import errors_by_item, with_item_numbers
from primase.results import ItemResult

ItemT = TypeVar("ItemT", bound=Message)
RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")
ValueT = TypeVar("ValueT")


class Exchange(ABC, Generic[ItemT, RequestT, ResponseT, ValueT]):
    """One bulk call over any number of items, each with its id."""

    def __init__(
        self,
        items: Iterable[tuple[str, ItemT]],
        make_request: Callable[[Sequence[ItemT]], RequestT],
        max_items: int,
        num_bytes: Callable[[ItemT], int] = request_bytes,
    ) -> None:
        self._feed = BatchFeed(items, max_items, num_bytes)
        self._make_request = make_request
        self._sent: list[Entry[ItemT]] = []
        self._waiting: deque[Entry[ItemT]] = deque()

    def advance(self) -> bool:
        """Take the next batch; False where all items have ended."""
        batch = self._feed.take()
        self._sent = [entry for entry in batch if entry.error is None]
        self._waiting = deque(batch)
        return bool(batch)

    def request(self) -> RequestT | None:
        """What to send for this batch; None where all of it has failed before."""
        return self._make_request([entry.item for entry in self._sent]) if self._sent else None

    def read(self, response: ResponseT) -> Iterator[ItemResult[ValueT]]:
        """Take one message of the answer; the results that are complete with it."""
        yield from self._known_failures()
        try:
            yield from self._read(response)
        except ValueError as error:
            raise BrokenAnswer(str(error)) from error

    def failed(self, error: PrimaseError) -> None:
        """Take the error that ended the call: raises it, unless sending less can do better."""
        error = self._numbered(error)
        errors = self._errors_of_items(error)
        if not errors:
            if not isinstance(error, RequestTooLarge | ResponseTooLarge):
                raise error
            self._feed.shrink(len(self._sent) // 2)
        self._feed.give_back(
            [e.failed(errors[e.index]) if e.index in errors else e for e in self._waiting]
        )

    def end(self) -> Iterator[ItemResult[ValueT]]:
        """The call is over: the results that are left. BrokenAnswer where an item has none."""
        yield from self._known_failures()
        if self._waiting:
            raise BrokenAnswer(f"the answer ended without item {self._waiting[0].index}")
        self._feed.grow()

    @abstractmethod
    def _read(self, response: ResponseT) -> Iterator[ItemResult[ValueT]]:
        """As `read`; ValueError where the message makes no sense."""

    def _require_current(self, item_index: int) -> None:
        expected = len(self._sent) - sum(entry.error is None for entry in self._waiting)
        if item_index != expected or expected == len(self._sent):
            raise ValueError(f"the answer names item {item_index} of its request, not {expected}")

    def _part(self, value: ValueT) -> ItemResult[ValueT]:
        """Something of the current item, which goes on."""
        entry = self._waiting[0]
        return ItemResult(entry.index, entry.id, value)

    def _end_item(self, outcome: ValueT | PrimaseError) -> Iterator[ItemResult[ValueT]]:
        entry = self._waiting.popleft()
        if isinstance(outcome, PrimaseError):
            outcome = self._numbered(outcome)
        yield ItemResult(entry.index, entry.id, outcome)
        yield from self._known_failures()

    def _known_failures(self) -> Iterator[ItemResult[ValueT]]:
        while self._waiting and (error := self._waiting[0].error) is not None:
            entry = self._waiting.popleft()
            yield ItemResult(entry.index, entry.id, error)

    def _numbered(self, error: PrimaseError) -> PrimaseError:
        return with_item_numbers(error, [entry.index for entry in self._sent])

    def _errors_of_items(self, error: PrimaseError) -> Mapping[int, PrimaseError]:
        waiting = {entry.index for entry in self._waiting if entry.error is None}
        if isinstance(error, RequestTooLarge | ResponseTooLarge) and len(self._sent) == 1:
            return dict.fromkeys(waiting, error)
        return {i: e for i, e in errors_by_item(error).items() if i in waiting}
