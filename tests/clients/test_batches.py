from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from primase.batches import MAX_ITEM_BYTES, TARGET_BATCH_BYTES, BatchFeed
from primase.esm2.v1.esm2_service_pb2 import EncodeItem
from primase.exceptions import RequestTooLarge


def items(lengths: list[int]) -> Iterator[tuple[str, EncodeItem]]:
    return ((f"id{i}", EncodeItem(sequence="A" * length)) for i, length in enumerate(lengths))


@given(st.lists(st.integers(0, TARGET_BATCH_BYTES), max_size=30), st.integers(1, 8))
def test_batches_hold_every_item_once_in_order_and_within_the_limits(
    lengths: list[int], max_items: int
) -> None:
    feed = BatchFeed(items(lengths), max_items)
    batches = list(iter(feed.take, []))

    entries = [entry for batch in batches for entry in batch]
    assert [(e.index, e.id) for e in entries] == [(i, f"id{i}") for i in range(len(lengths))]
    assert [len(e.item.sequence) for e in entries] == lengths
    for batch in batches:
        assert len(batch) <= max_items
        num_bytes = sum(entry.item.ByteSize() for entry in batch)
        assert len(batch) == 1 or num_bytes <= TARGET_BATCH_BYTES


def test_items_are_read_no_further_than_one_batch() -> None:
    taken = 0

    def endless() -> Iterator[tuple[str, EncodeItem]]:
        nonlocal taken
        while True:
            taken += 1
            yield "", EncodeItem(sequence="A" * 1000)

    feed = BatchFeed(endless(), 10_000)
    assert len(feed.take()) + 1 == taken


def test_what_is_given_back_comes_first() -> None:
    feed = BatchFeed(items([1, 1, 1, 1]), 3)
    batch = feed.take()
    feed.give_back(batch[1:])

    assert [entry.index for entry in feed.take()] == [1, 2, 3]


def test_batches_shrink_when_told_and_grow_again() -> None:
    feed = BatchFeed(items([1] * 20), 8)
    feed.shrink(2)
    sizes = []
    while batch := feed.take():
        sizes.append(len(batch))
        feed.grow()

    assert sizes == [2, 3, 4, 6, 5]


def test_an_item_larger_than_any_request_has_failed_already() -> None:
    feed = BatchFeed(items([1, MAX_ITEM_BYTES, 1]), 8)
    (first,), (huge,), (last,) = iter(feed.take, [])

    assert (first.error, last.error) == (None, None)
    assert isinstance(huge.error, RequestTooLarge)
    assert huge.error.reason == "REQUEST_TOO_LARGE"
