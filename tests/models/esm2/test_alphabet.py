"""Sequences to token ids."""

import esm
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from primase_server.errors import InvalidSequence
from primase_server.models.esm2.alphabet import (
    MASK,
    RESIDUES,
    STANDARD_20,
    STANDARD_COLUMNS,
    TOKENS,
    residue_tokens,
    standard_column,
    tokenize,
    tokenize_residues,
)

FAIR = esm.data.Alphabet.from_architecture("ESM-1b")

native_sequences = st.lists(st.sampled_from([*RESIDUES, MASK]), min_size=1).map("".join)


def test_tokens_are_those_of_fair_esm() -> None:
    assert list(TOKENS) == FAIR.all_toks


def test_standard_columns_are_the_20_residues() -> None:
    assert "".join(TOKENS[STANDARD_COLUMNS]) == STANDARD_20 == "LAGVSERTIDPKQNFYMHWC"
    assert standard_column("L") == 4
    assert standard_column("C") == 23


@given(native_sequences)
def test_ids_are_those_of_fair_esm(sequence: str) -> None:
    expected = [FAIR.cls_idx, *FAIR.encode(sequence), FAIR.eos_idx]
    assert tokenize(sequence).tolist() == expected


@given(native_sequences)
def test_residue_tokens_spell_the_sequence(sequence: str) -> None:
    assert "".join(residue_tokens(tokenize(sequence))) == sequence


def test_ids_are_int64() -> None:
    assert tokenize("MK").dtype == np.int64


@pytest.mark.parametrize(
    ("sequence", "position", "character"),
    [
        ("mKT", 0, "'m'"),
        ("MKJ", 2, "'J'"),
        ("MK T", 2, "' '"),
        ("MKT\n", 3, "'\\n'"),
        ("M<mask>K*", 8, "'*'"),
        ("M<mas>K", 1, "'<'"),
        ("MK蛋A", 2, "'蛋'"),
        ("MK\ud800", 2, "'\\ud800'"),
        ("M<cls>", 1, "'<'"),
    ],
)
def test_a_bad_character_is_named_with_its_offset(
    sequence: str, position: int, character: str
) -> None:
    with pytest.raises(InvalidSequence, match=rf"position {position} is ") as caught:
        tokenize(sequence)
    [violation] = caught.value.violations
    assert violation.field == "sequence"
    assert violation.reason == "INVALID_SEQUENCE"
    assert f"position {position} is {character};" in violation.description


def test_an_empty_sequence_is_invalid() -> None:
    with pytest.raises(InvalidSequence, match="empty"):
        tokenize("")


def test_calls_without_masks_name_the_first_one() -> None:
    with pytest.raises(InvalidSequence, match="position 2 is <mask>"):
        tokenize_residues("MK<mask>T<mask>")
    assert tokenize_residues("MKT").tolist() == tokenize("MKT").tolist()
