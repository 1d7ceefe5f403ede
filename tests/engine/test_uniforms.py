"""Named random numbers, against the published vectors of their generator."""

import numpy as np
import pytest

from primase_server.engine.uniforms import NUM_AHEAD, Numbers, philox, uniforms

# Known answers of philox4x32-10, from the Random123 distribution (kat_vectors).
KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0"),
]
ANSWERS = [
    "6627e8d5 e169c58d bc57ac4c 9b00dbd8",
    "408f276d 41c83b0e a20bc7c6 6d5451fd",
    "d16cfe09 94fdcceb 5001e420 24126ea1",
]


def words(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


def test_philox_gives_the_published_words() -> None:
    counters = np.array([words(counter) for counter, _ in KNOWN], dtype=np.uint32)
    keys = np.array([words(key) for _, key in KNOWN], dtype=np.uint32)
    assert philox(counters, keys).tolist() == [words(answer) for answer in ANSWERS]


def test_a_number_depends_on_its_whole_name_and_on_nothing_else() -> None:
    names = [(7, 0, 0, 0), (8, 0, 0, 0), (7, 1, 0, 0), (7, 0, 1, 0), (7, 0, 0, 1)]
    assert len({uniforms(*name, count=1)[0] for name in names}) == len(names)
    largest = (2**64 - 1, 2**32 - 1, 2**32 - 1, 2**64 - 1)
    assert 0 <= uniforms(*largest, count=1)[0] < 1
    assert uniforms(2**40, 2, 3, 2**50, count=1)[0] == pytest.approx(0.6036466299487041, abs=1e-15)


def test_it_does_not_matter_what_was_made_ahead() -> None:
    expected = uniforms(5, 6, 7, 1000, count=2 * NUM_AHEAD)
    numbers = Numbers(5, 6, 7)
    found = [numbers.at(1000 + i) for i in reversed(range(2 * NUM_AHEAD))]
    assert found == expected[::-1].tolist()
    last = 2**64 - 1
    assert numbers.at(last) == uniforms(5, 6, 7, last, count=1)[0]


def test_numbers_of_one_sequence_are_spread_evenly() -> None:
    numbers = uniforms(1, 2, 3, 0, count=20_000)
    counts, _ = np.histogram(numbers, bins=20, range=(0, 1))
    chi_squared = ((counts - 1000) ** 2 / 1000).sum()
    assert chi_squared < 43.8  # 19 degrees of freedom, p = 0.001
    assert np.corrcoef(numbers[:-1], numbers[1:])[0, 1] == pytest.approx(0, abs=0.03)
