"""Overlapping windows over long sequences."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from primase_server.models.esm2.windows import MIN_OVERLAP_RESIDUES, WINDOW_RESIDUES, cover

lengths = st.integers(1, 20_000)


@given(lengths)
def test_windows_cover_the_sequence_and_overlap_enough(num_residues: int) -> None:
    spans = list(cover(num_residues).spans())
    assert spans[0][0] == 0
    assert spans[-1][1] == num_residues
    for start, stop in spans:
        assert stop - start == min(WINDOW_RESIDUES, num_residues)
    for (_, stop), (start, _) in pairwise(spans):
        assert stop - start >= MIN_OVERLAP_RESIDUES


@given(lengths)
def test_weights_sum_to_one_everywhere(num_residues: int) -> None:
    windows = cover(num_residues)
    total = np.zeros(num_residues)
    for (start, stop), weights in zip(windows.spans(), windows.weights, strict=True):
        assert (weights > 0).all()
        total[start:stop] += weights
    np.testing.assert_allclose(total, 1)


@given(lengths, st.data())
def test_containing_finds_every_window_of_a_position(
    num_residues: int, data: st.DataObject
) -> None:
    position = data.draw(st.integers(0, num_residues - 1))
    windows = cover(num_residues)
    expected = [i for i, (start, stop) in enumerate(windows.spans()) if start <= position < stop]
    assert list(windows.containing(position)) == expected


@pytest.mark.parametrize("num_residues", [1, 2, 1021, 1022])
def test_short_sequences_are_one_window(num_residues: int) -> None:
    windows = cover(num_residues)
    assert list(windows.spans()) == [(0, num_residues)]
    assert (windows.weights[0] == 1).all()


def test_no_more_windows_than_needed() -> None:
    assert list(cover(1023).spans()) == [(0, 1022), (1, 1023)]
    assert list(cover(1533).spans()) == [(0, 1022), (511, 1533)]
    assert len(cover(1534).starts) == 3


def test_weights_pass_from_one_window_to_the_next_as_a_sigmoid() -> None:
    first, second = cover(1533).weights  # they share 511 residues
    rising = second[:511]
    np.testing.assert_allclose(first[511:] + rising, 1)
    assert (np.diff(rising) >= -1e-12).all()
    assert rising[0] < 0.01 < 0.99 < rising[-1]
    assert rising[255] == pytest.approx(0.5, abs=0.01)
