"""A scan gives what reading every window with every substitution gives."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from primase_server.errors import InvalidRequest, InvalidSequence, SequenceTooLong
from primase_server.models.evo2.scan import ScanItem, ScanOptions
from primase_server.models.evo2.scan_sums import ScanMode, ScanRows
from primase_server.models.evo2.strands import Strand
from tests.models.evo2.items import (
    dna,
    log_likelihoods,
    log_softmax,
    reversed_complement,
    run_item,
    served,
)

REFERENCE = dna(120, seed=5)
WINDOW = 60
REGIONS = [(50, 56), (0, 3), (117, 120), (2, 3)]


def scan(
    start: int = 0,
    end: int | None = None,
    *,
    reference: str = REFERENCE,
    chunk_tokens: int = 1024,
    **wanted: Any,
) -> tuple[list[ScanRows], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Parts, and whole arrays: deltas, means, minima."""
    options = ScanOptions(**{"window_bases": WINDOW, **wanted})
    item = ScanItem.build(served(chunk_tokens), reference, start, end, options)
    parts, result = run_item(item)
    pieces = [*parts, result]
    offset = 0
    for piece in pieces:
        assert piece.num_rows == (end or len(reference)) - start
        assert len(piece.deltas) == 0 or piece.row_offset == offset
        offset += len(piece.deltas)
    assert offset == result.num_rows
    return (
        parts,
        np.concatenate([piece.deltas for piece in pieces]),
        np.concatenate([piece.mean_delta for piece in pieces]),
        np.concatenate([piece.min_delta for piece in pieces]),
    )


def window_of(start: int, end: int) -> tuple[int, int]:
    first = (start + end) // 2 - WINDOW // 2
    return max(0, first), min(len(REFERENCE), first + WINDOW)


def brute_force(start: int, end: int, strand: Strand) -> NDArray[np.float64]:
    """[bases, 4]: every window with every substitution, read whole."""
    first, last = window_of(start, end)
    deltas = np.zeros((end - start, 4))
    for is_reversed in strand.is_reversed:

        def total(sequence: str, is_reversed: bool = is_reversed) -> float:
            read = reversed_complement(sequence) if is_reversed else sequence
            return float(log_likelihoods(read).sum())

        reference = total(REFERENCE[first:last])
        for row in range(end - start):
            for column, base in enumerate("ACGT"):
                place = start + row
                changed = REFERENCE[first:place] + base + REFERENCE[place + 1 : last]
                deltas[row, column] += total(changed) - reference
    return deltas / len(strand.is_reversed)


def reduced(deltas: NDArray[Any], start: int) -> tuple[list[float], list[float]]:
    """Means and minima over the three other bases."""
    others = [
        np.delete(row, "ACGT".index(REFERENCE[start + place])) for place, row in enumerate(deltas)
    ]
    return [other.mean() for other in others], [other.min() for other in others]


@pytest.mark.parametrize("strand", list(Strand))
@pytest.mark.parametrize(("start", "end"), REGIONS)
def test_exact_is_brute_force(start: int, end: int, strand: Strand) -> None:
    expected = brute_force(start, end, strand)
    _, deltas, means, minima = scan(start, end, strand=strand)
    np.testing.assert_allclose(deltas, expected, atol=2e-3)
    for row in range(end - start):
        assert deltas[row, "ACGT".index(REFERENCE[start + row])] == 0
    expected_means, expected_minima = reduced(deltas, start)
    np.testing.assert_allclose(means, expected_means, rtol=1e-5)
    np.testing.assert_array_equal(minima, expected_minima)


@pytest.mark.parametrize("chunk_tokens", [64, 20, 4])
def test_exact_is_the_same_in_any_chunks(chunk_tokens: int) -> None:
    _, whole, _, _ = scan(50, 54)
    _, chunked, _, _ = scan(50, 54, chunk_tokens=chunk_tokens)
    np.testing.assert_allclose(chunked, whole, atol=1e-3)


def test_exact_reads_what_is_behind_each_substitution_three_times() -> None:
    options = ScanOptions(ScanMode.EXACT, WINDOW)
    item = ScanItem.build(served(), REFERENCE, 50, 54, options)
    first, last = window_of(50, 54)
    reference, before, moved = last - first, 50 - first, 3
    substituted = sum(3 * (last - place) for place in range(50, 54))
    assert item.num_tokens == reference + before + moved + substituted
    assert item.state_bytes == 5 * served().state_bytes(WINDOW)


def test_exact_tells_each_base_when_it_is_known() -> None:
    parts, deltas, _, _ = scan(50, 54)
    assert [len(rows.deltas) for rows in parts] == [0, 0, 1, 1, 1]
    assert len(deltas) == 4
    parts, _, _, _ = scan(50, 54, strand=Strand.REVERSE_COMPLEMENT)
    assert {len(rows.deltas) for rows in parts} == {0}


def one_pass(start: int, end: int, *, is_reversed: bool) -> NDArray[np.float64]:
    """[bases, 4]: log p of each base less that of the one there, from one whole pass."""
    first, last = window_of(start, end)
    window = REFERENCE[first:last]
    read = reversed_complement(window) if is_reversed else window
    rows = np.full((len(read), 4), np.nan)
    rows[1:] = log_softmax(read)[:-1][:, list(b"ACGT")]
    there = ["ACGT".index(base) for base in read]
    deltas = rows - rows[np.arange(len(read)), there][:, None]
    deltas[np.arange(len(read)), there] = 0
    if is_reversed:
        deltas = deltas[::-1, ::-1]
    region: NDArray[np.float64] = deltas[start - first : end - first]
    return region


@pytest.mark.parametrize("strand", list(Strand))
@pytest.mark.parametrize(("start", "end"), REGIONS)
@pytest.mark.parametrize("chunk_tokens", [1024, 16])
def test_one_pass_reads_the_reference_alone(
    start: int, end: int, strand: Strand, chunk_tokens: int
) -> None:
    readings = [one_pass(start, end, is_reversed=r) for r in strand.is_reversed]
    _, deltas, means, minima = scan(
        start, end, strand=strand, mode=ScanMode.ONE_PASS, chunk_tokens=chunk_tokens
    )
    np.testing.assert_allclose(deltas, np.mean(readings, axis=0), atol=2e-4)
    expected_means, expected_minima = reduced(deltas, start)
    np.testing.assert_allclose(means, expected_means, rtol=1e-5)
    np.testing.assert_array_equal(minima, expected_minima)


def test_one_pass_knows_nothing_of_a_base_with_nothing_before_it() -> None:
    _, deltas, means, minima = scan(0, 2, mode=ScanMode.ONE_PASS)
    column = "ACGT".index(REFERENCE[0])
    assert deltas[0, column] == 0
    assert np.isnan(np.delete(deltas[0], column)).all()
    assert np.isnan(means[0])
    assert np.isnan(minima[0])
    assert np.isfinite(deltas[1]).all()


def test_one_pass_ends_with_the_region_and_tells_rows_by_chunk() -> None:
    item = ScanItem.build(served(16), REFERENCE, 40, 80, ScanOptions(ScanMode.ONE_PASS, WINDOW))
    assert item.num_tokens == 80 - 30
    parts, _, _, _ = scan(40, 80, mode=ScanMode.ONE_PASS, chunk_tokens=16)
    assert [len(rows.deltas) for rows in parts] == [6, 16, 16]


def test_the_whole_reference_is_the_region_unless_one_is_named() -> None:
    _, deltas, _, _ = scan(reference=dna(9))
    assert deltas.shape == (9, 4)
    _, deltas, _, _ = scan(4, reference=dna(9))
    assert deltas.shape == (5, 4)


def test_in_place_of_another_character_every_base_is_a_substitution() -> None:
    reference = f"{REFERENCE[:20]}N{REFERENCE[20:40]}"
    for mode in ScanMode:
        _, deltas, means, minima = scan(20, 21, reference=reference, mode=mode)
        assert (deltas != 0).all()
        assert means[0] == pytest.approx(deltas[0].mean())
        assert minima[0] == deltas[0].min()


def test_a_window_is_never_shorter_than_the_region() -> None:
    item = ScanItem.build(served(), REFERENCE, 10, 110, ScanOptions(ScanMode.ONE_PASS, 2))
    assert len(item.readings[0].token_ids) == 100
    assert (item.readings[0].start, item.readings[0].stop) == (0, 100)


def test_the_recipe_names_everything_that_matters() -> None:
    known = served(description="evo2-7b in float32")
    for mode, words in ((ScanMode.EXACT, "exact, "), (ScanMode.ONE_PASS, "one_pass, ")):
        item = ScanItem.build(known, REFERENCE, 50, 54, ScanOptions(mode, WINDOW))
        assert item.recipe.startswith(words)
        for said in ("one window of 60 bases", "strand: forward", known.description):
            assert said in item.recipe


@pytest.mark.parametrize(
    ("reference", "start", "end", "field"),
    [
        (REFERENCE, 5, 121, "end"),
        (REFERENCE, 120, None, "start"),
        (REFERENCE, 7, 7, "start"),
        (REFERENCE, 9, 7, "start"),
        ("A", 0, 1, "reference"),
    ],
)
def test_a_region_that_is_not_there_is_refused(
    reference: str, start: int, end: int | None, field: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        ScanItem.build(served(), reference, start, end)
    assert [violation.field for violation in refused.value.violations] == [field]


def test_what_cannot_be_read_is_refused() -> None:
    with pytest.raises(SequenceTooLong, match="end: 50 bases are read; this model takes at most 9"):
        ScanItem.build(served(max_bases=9), REFERENCE, 0, 50, ScanOptions(window_bases=2))
    with pytest.raises(InvalidSequence, match="reference: character 1, '-'"):
        ScanItem.build(served(), "A-CG", 2, 3, ScanOptions(strand=Strand.BOTH))
