"""Low complexity is what the published thresholds say, window by window."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from primase_server.models.progen2.complexity import low_complexity_fraction, window_entropies

UBIQUITIN = "MQIFVKTLTGKTITLEVEPSDTIENVKAKIQDKEGIPPDQQRLIFAGKQLEDGRTLSDYNIQKESTLHLVLRLRGG"
STANDARD = "ACDEFGHIKLMNPQRSTVWY"


def entropy(window: str) -> float:
    """By the textbook."""
    shares = [count / len(window) for count in Counter(window).values()]
    return -sum(share * math.log2(share) for share in shares)


def by_hand(sequence: str) -> float:
    """Grow each window of at most 2.2 bits, a residue at a time, over those of at most 2.5."""
    bits = [entropy(sequence[i : i + 12]) for i in range(len(sequence) - 11)]
    low: set[int] = set()
    for place in range(len(bits)):
        if bits[place] <= 2.2 + 1e-12:
            first = last = place
            while first > 0 and bits[first - 1] <= 2.5 + 1e-12:
                first -= 1
            while last + 1 < len(bits) and bits[last + 1] <= 2.5 + 1e-12:
                last += 1
            low.update(range(first, last + 12))
    return len(low) / len(sequence)


@pytest.mark.parametrize(
    ("sequence", "expected"),
    [
        ("A" * 12, 1.0),
        ("A" * 11, 0.0),
        ("", 0.0),
        (STANDARD, 0.0),
        (UBIQUITIN, 0.0),
        ("AC" * 20, 1.0),
        ("AC" * 20 + STANDARD * 2, 46 / 80),
        ("MA" + "S" * 172, 1.0),
    ],
)
def test_reference_values(sequence: str, expected: float) -> None:
    assert low_complexity_fraction(sequence) == pytest.approx(expected)


def test_entropies_are_in_bits() -> None:
    assert window_entropies("A" * 12).tolist() == [0.0]
    np.testing.assert_allclose(window_entropies("AC" * 6), [1.0])
    np.testing.assert_allclose(window_entropies(STANDARD), [math.log2(12)] * 9)
    # four letters, three times each
    np.testing.assert_allclose(window_entropies("AAACCCDDDEEE"), [2.0])


@given(st.text(alphabet="ACDEF", max_size=60))
def test_it_is_the_definition(sequence: str) -> None:
    assert low_complexity_fraction(sequence) == pytest.approx(by_hand(sequence) if sequence else 0)
