"""The area under the ROC curve."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from primase.cli.auroc import auroc, bootstrap_interval

few = st.lists(st.integers(-3, 3), min_size=1, max_size=9)


def test_by_hand() -> None:
    # Of the 6 pairs, 3 > 2, 3 > 1, 3 > 0, 1 > 0 are won, 1 against 1 is half, 1 against 2 is lost.
    assert auroc([3, 1], [2, 1, 0]) == 4.5 / 6


def test_extremes() -> None:
    assert auroc([2, 3], [0, 1]) == 1
    assert auroc([0, 1], [2, 3]) == 0
    assert auroc([5, 5, 5], [5, 5]) == 0.5


def test_one_side_alone_has_none() -> None:
    assert auroc([], [1]) is None
    assert auroc([1], []) is None
    assert bootstrap_interval([], [1]) is None


@given(few, few)
def test_it_is_the_share_of_pairs_that_are_won(ours: list[int], theirs: list[int]) -> None:
    won = sum((a > b) + (a == b) / 2 for a in ours for b in theirs)

    assert auroc(ours, theirs) == pytest.approx(won / (len(ours) * len(theirs)))


@settings(max_examples=20)
@given(few, few)
def test_the_interval_lies_within_the_possible(ours: list[int], theirs: list[int]) -> None:
    interval = bootstrap_interval(ours, theirs)
    assert interval is not None
    assert 0 <= interval.low <= interval.high <= 1


def test_the_interval_holds_the_area_and_narrows_with_the_number() -> None:
    ours, theirs = [0.0, 2, 4, 6, 8], [-1.0, 1, 3, 5, 7]
    widths = []
    for times in (4, 64):
        interval = bootstrap_interval(ours * times, theirs * times)
        assert interval is not None
        assert interval.low < 0.6 < interval.high
        widths.append(interval.high - interval.low)

    # 16 times the variants: a quarter of the width.
    assert widths[1] == pytest.approx(widths[0] / 4, rel=0.2)


def test_values_that_all_agree_leave_no_doubt() -> None:
    assert bootstrap_interval([2, 3], [0, 1]) == (1, 1)
