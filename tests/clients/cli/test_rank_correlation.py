import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from primase.cli.rank_correlation import average_ranks, spearman


def test_ranks_by_hand() -> None:
    assert average_ranks([0.5, 2.0, -1.0]).tolist() == [2, 3, 1]
    assert average_ranks([7, 7, 1, 7, 9]).tolist() == [3, 3, 1, 3, 5]
    assert average_ranks([]).tolist() == []


def test_without_ties_it_is_the_formula_of_differences() -> None:
    # The textbook's ten pupils, IQ against hours of television: 1 - 6 * 194 / (10 * 99).
    iq = [106.0, 100, 86, 101, 99, 103, 97, 113, 112, 110]
    hours = [7.0, 27, 2, 50, 28, 29, 20, 12, 6, 17]
    assert spearman(iq, hours) == pytest.approx(-29 / 165)


def test_with_ties_by_hand() -> None:
    # Ranks 1, 2.5, 2.5, 4 and 1, 2, 3, 4: covariance 4.5, variances 4.5 and 5.
    assert spearman([1, 2, 2, 3], [10, 20, 30, 40]) == pytest.approx(4.5 / (4.5 * 5) ** 0.5)


def test_order_is_all_that_counts() -> None:
    assert spearman([1, 2, 3], [1, 8, 1000]) == pytest.approx(1)
    assert spearman([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)


def test_one_value_has_no_correlation() -> None:
    assert spearman([1, 1, 1], [1, 2, 3]) is None
    assert spearman([1], [1]) is None
    assert spearman([], []) is None


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="2 values beside 1"):
        spearman([1, 2], [1])


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=2, max_size=12))
def test_ranks_are_counts_of_the_lower_and_half_of_the_equal(
    pairs: list[tuple[int, int]],
) -> None:
    def ranks(values: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> list[float]:
        return [(values < v).sum() + ((values == v).sum() + 1) / 2 for v in values]

    first, second = (np.array(column) for column in zip(*pairs, strict=True))
    found = spearman(first.astype(float).tolist(), second.astype(float).tolist())
    if len(set(first)) == 1 or len(set(second)) == 1:
        assert found is None
    else:
        assert found == pytest.approx(np.corrcoef(ranks(first), ranks(second))[0, 1])
