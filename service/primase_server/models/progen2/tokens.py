"""Protein text and the 30 tokens of ProGen2: a character is a token (`tokenizer.json`)."""

from collections.abc import Iterable

from primase_server.errors import InvalidSequence

LETTERS = "ABCDEFGHIKLMNOPQRSTUVWXYZ"
"""All but J, in the order of their logit columns."""

N_TERMINUS, C_TERMINUS = "1", "2"
N_TERMINUS_ID, C_TERMINUS_ID = 3, 4

FIRST_LETTER_ID = 5
LETTER_COLUMNS = slice(FIRST_LETTER_ID, FIRST_LETTER_ID + len(LETTERS))
"""Logit columns of `LETTERS`."""

DRAWN_IDS = frozenset(range(N_TERMINUS_ID, LETTER_COLUMNS.stop))
"""The terminals and the letters; pad, bos and eos were never trained, nor is there a 30th token."""

TOKENS = ("<|pad|>", "<|bos|>", "<|eos|>", N_TERMINUS, C_TERMINUS, *LETTERS)
"""Text of each token, in the order of the model's logit columns."""

_IDS = {text: token_id for token_id, text in enumerate(TOKENS) if token_id in DRAWN_IDS}


def residue_ids(sequence: str, field: str = "sequence") -> list[int]:
    """One id for each letter. Raises InvalidSequence naming the 0-based place of the first other.

    Upstream drops what it does not know in silence: here nothing is skipped or upper-cased.
    """
    for place, letter in enumerate(sequence):
        if letter not in LETTERS:
            raise InvalidSequence.at(
                field,
                f"position {place} is {letter!r}; allowed are the letters {LETTERS} in upper case",
            )
    return [_IDS[letter] for letter in sequence]


def spelled(token_ids: Iterable[int]) -> str:
    """One character for each id of `DRAWN_IDS`, as generation draws them."""
    return "".join(TOKENS[token_id] for token_id in token_ids)
