"""DNA text and the token ids of Evo 2, which are its bytes."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from primase_server.errors import InvalidSequence

Tokens = NDArray[np.uint8]

BASES = "ACGT"
BASE_IDS = tuple(BASES.encode("ascii"))
BOS_ID = 0
PADDING_ID = 1

_PRINTABLE = range(32, 127)
_CODES, _COMPLEMENTS = "ACGTURYSWKMBDHVN", "TGCAAYRSWMKVHDBN"
_NO_COMPLEMENT = 0


def _complement_table() -> Tokens:
    table = np.full(256, _NO_COMPLEMENT, dtype=np.uint8)
    for codes, complements in ((_CODES, _COMPLEMENTS), (_CODES.lower(), _COMPLEMENTS.lower())):
        table[list(codes.encode("ascii"))] = list(complements.encode("ascii"))
    return table


_COMPLEMENT = _complement_table()
_IS_BASE = np.isin(np.arange(256), BASE_IDS)
_IS_TEXT = np.isin(np.arange(256), [*_PRINTABLE, *b"\t\n\r"])


def tokenize(sequence: str, field: str = "sequence") -> Tokens:
    """One id for each character, as it is: [n]. Raises InvalidSequence naming the first bad one."""
    if not sequence:
        raise InvalidSequence.at(field, "is empty")
    ids = np.frombuffer(sequence.encode("utf-8"), dtype=np.uint8)
    bad = np.flatnonzero(~_IS_TEXT[ids])
    if bad.size:
        # before the first byte that is not ASCII, bytes and characters are counted alike
        said = f"character {bad[0]} is no printable ASCII, tab or line break"
        raise InvalidSequence.at(field, said)
    return ids


def text_of(token_ids: Tokens) -> str:
    """The characters of ids of text."""
    return token_ids.tobytes().decode("ascii")


def spelled(token_ids: Iterable[int]) -> str:
    """One character for each id of the vocabulary: its own where it prints, else a space."""
    return "".join(chr(i) if i in _PRINTABLE else " " for i in token_ids)


def num_other_characters(token_ids: Tokens) -> int:
    """How many are not upper-case A, C, G or T."""
    return len(token_ids) - int(_IS_BASE[token_ids].sum())


def reverse_complement(token_ids: Tokens, field: str = "sequence") -> Tokens:
    """The other strand, case kept: IUPAC codes have complements, and U pairs with A.

    Raises InvalidSequence naming the first character that has none.
    """
    complements = _COMPLEMENT[token_ids]
    bad = np.flatnonzero(complements == _NO_COMPLEMENT)
    if bad.size:
        raise InvalidSequence.at(
            field,
            f"character {bad[0]}, {chr(token_ids[bad[0]])!r}, is no IUPAC code of a nucleotide, "
            "so that the reverse strand cannot be read",
        )
    return complements[::-1].copy()
