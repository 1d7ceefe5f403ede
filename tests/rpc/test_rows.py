"""Pieces are packed into messages in order, whole and within the size."""

from hypothesis import given
from hypothesis import strategies as st

from primase_server.rpc.rows import packed


def test_pieces_fill_a_message_and_go_on_in_the_next() -> None:
    pieces = [("a", 4), ("b", 4), ("c", 4), ("d", 20), ("e", 1)]
    assert list(packed(pieces, max_bytes=8)) == [["a", "b"], ["c"], ["d"], ["e"]]


def test_nothing_is_one_empty_message() -> None:
    assert list(packed([])) == [[]]


@given(st.lists(st.integers(0, 100)))
def test_order_is_kept_and_no_message_is_too_large(sizes: list[int]) -> None:
    groups = list(packed(list(enumerate(sizes)), max_bytes=50))
    assert [index for group in groups for index in group] == list(range(len(sizes)))
    for group in groups:
        assert len(group) <= 1 or sum(sizes[index] for index in group) <= 50
