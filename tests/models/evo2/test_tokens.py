"""Bytes are tokens, and other strands."""

import numpy as np
import pytest

from primase_server.errors import InvalidSequence
from primase_server.models.evo2.strands import Strand
from primase_server.models.evo2.tokens import (
    num_other_characters,
    reverse_complement,
    text_of,
    tokenize,
)

IUPAC = "ACGTRYSWKMBDHVN"


def test_a_token_is_a_byte() -> None:
    text = ">a b|~\r\nACGTacgt\tN\n"
    assert tokenize(text).tolist() == list(text.encode("ascii"))
    assert text_of(tokenize(text)) == text


@pytest.mark.parametrize(
    ("sequence", "place"), [("ACG\v", 3), ("\n\0", 1), ("AC\x7f", 2), ("AÄ", 1), ("\x1b", 0)]
)
def test_other_characters_are_refused_with_their_place(sequence: str, place: int) -> None:
    said = f"character {place} is no printable ASCII, tab or line break"
    with pytest.raises(InvalidSequence, match=said):
        tokenize(sequence)


def test_an_empty_sequence_is_refused() -> None:
    with pytest.raises(InvalidSequence, match="is empty"):
        tokenize("")


@pytest.mark.parametrize(
    ("sequence", "count"), [("ACGT", 0), ("acgt", 4), ("ACGTN-", 2), ("|d__Bacteria|ACGT", 13)]
)
def test_characters_that_are_no_bases_are_counted(sequence: str, count: int) -> None:
    assert num_other_characters(tokenize(sequence)) == count


@pytest.mark.parametrize(
    ("sequence", "reverse"),
    [
        ("A", "T"),
        ("AACG", "CGTT"),
        ("aaCGu", "aCGtt"),
        ("RYSWKMBDHVN", "NBDHVKMWSRY"),
        ("ryswkmbdhvn", "nbdhvkmwsry"),
    ],
)
def test_the_other_strand(sequence: str, reverse: str) -> None:
    assert text_of(reverse_complement(tokenize(sequence))) == reverse


def test_the_other_strand_of_the_other_strand_is_the_sequence() -> None:
    token_ids = tokenize(IUPAC + IUPAC.lower())
    twice = reverse_complement(reverse_complement(token_ids))
    np.testing.assert_array_equal(twice, token_ids)


@pytest.mark.parametrize("letter", list("-|*EFIJLOPQXZ1 "))
def test_the_other_strand_of_other_characters_is_refused_with_the_place(letter: str) -> None:
    with pytest.raises(InvalidSequence) as refused:
        reverse_complement(tokenize(f"ACG{letter}{letter}"))
    [violation] = refused.value.violations
    assert violation.field == "sequence"
    assert violation.description.startswith(f"character 3, {letter!r}, is no IUPAC code")


@pytest.mark.parametrize(
    ("strand", "readings"),
    [
        (Strand.FORWARD, ["AACG"]),
        (Strand.REVERSE_COMPLEMENT, ["CGTT"]),
        (Strand.BOTH, ["AACG", "CGTT"]),
    ],
)
def test_strands_are_read_one_after_the_other(strand: Strand, readings: list[str]) -> None:
    assert [text_of(reading) for reading in strand.readings(tokenize("AACG"))] == readings
