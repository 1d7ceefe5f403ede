"""A letter is a token, and what is no letter is named."""

import pytest

from primase_server.errors import InvalidSequence
from primase_server.models.progen2.tokens import (
    C_TERMINUS_ID,
    DRAWN_IDS,
    LETTER_COLUMNS,
    LETTERS,
    N_TERMINUS_ID,
    TOKENS,
    residue_ids,
    spelled,
)


def test_the_ids_are_those_of_the_official_tokenizer() -> None:
    assert residue_ids("MKT") == [16, 14, 23]
    assert residue_ids(LETTERS) == list(range(5, 30))
    assert (TOKENS[N_TERMINUS_ID], TOKENS[C_TERMINUS_ID]) == ("1", "2")
    assert (len(LETTERS), len(TOKENS), "J" in LETTERS) == (25, 30, False)
    assert TOKENS[LETTER_COLUMNS] == tuple(LETTERS)
    assert frozenset(range(3, 30)) == DRAWN_IDS
    assert residue_ids("") == []


def test_ids_are_spelled() -> None:
    assert spelled([3, *residue_ids("MKTZ"), 4]) == "1MKTZ2"


@pytest.mark.parametrize(
    ("sequence", "place"),
    [("MKTJ", 3), ("mKT", 0), ("M KT", 1), ("MK*", 2), ("1MKT", 0), ("MKT2", 3), ("MÄ", 1)],
)
def test_nothing_is_dropped_in_silence(sequence: str, place: int) -> None:
    with pytest.raises(InvalidSequence) as refused:
        residue_ids(sequence, "items[2].context")
    [violation] = refused.value.violations
    assert violation.field == "items[2].context"
    assert violation.description.startswith(f"position {place} is {sequence[place]!r}; ")
