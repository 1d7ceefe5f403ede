"""The 33 tokens of ESM-2 and the way from a sequence to token ids."""

import numpy as np
from numpy.typing import NDArray

from primase_server.errors import InvalidSequence

TOKENS: tuple[str, ...] = (
    "<cls>",
    "<pad>",
    "<eos>",
    "<unk>",
    *"LAGVSERTIDPKQNFYMHWCXBUZO.-",
    "<null_1>",
    "<mask>",
)
"""Text of each token, in the order of the model's logit columns (`esm/constants.py`)."""

BOS_ID, PAD_ID, EOS_ID, MASK_ID = 0, 1, 2, 32
MASK = TOKENS[MASK_ID]

STANDARD_20 = "LAGVSERTIDPKQNFYMHWC"
"""The standard residues in the order of their logit columns."""

STANDARD_COLUMNS = slice(4, 24)
"""Logit columns of `STANDARD_20`."""

RESIDUES = STANDARD_20 + "XBUZO.-"
"""Every single character a sequence may hold; `<mask>` is the one longer token."""

_UNKNOWN = -1
_ID_OF_BYTE = np.full(256, _UNKNOWN, dtype=np.int64)
_ID_OF_BYTE[[ord(residue) for residue in RESIDUES]] = [TOKENS.index(r) for r in RESIDUES]


def tokenize(sequence: str) -> NDArray[np.int64]:
    """Token ids of `<cls> sequence <eos>`, [residues + 2]; `<mask>` in the text is one token.

    Raises InvalidSequence for an empty sequence, or naming the 0-based offset in the text of the
    first character outside the alphabet. Nothing is skipped, upper-cased or replaced.
    """
    if not sequence:
        raise InvalidSequence.at("sequence", "is empty; at least one residue is needed")
    ids = [np.array([BOS_ID])]
    offset = 0
    for index, piece in enumerate(sequence.split(MASK)):
        if index:
            ids.append(np.array([MASK_ID]))
            offset += len(MASK)
        ids.append(_ids_of(piece, offset))
        offset += len(piece)
    ids.append(np.array([EOS_ID]))
    return np.concatenate(ids)


def tokenize_residues(sequence: str) -> NDArray[np.int64]:
    """As `tokenize`, for calls that need a residue at every position: `<mask>` is refused too."""
    token_ids = tokenize(sequence)
    if MASK_ID in token_ids:
        offset = sequence.index(MASK)
        raise InvalidSequence.at(
            "sequence", f"position {offset} is {MASK}, which only masked prediction takes"
        )
    return token_ids


def residue_tokens(token_ids: NDArray[np.int64]) -> tuple[str, ...]:
    """Text of each token between BOS and EOS."""
    return tuple(TOKENS[token_id] for token_id in token_ids[1:-1])


def standard_column(residue: str) -> int:
    """Logit column of one of the 20 standard residues; ValueError for any other letter."""
    return STANDARD_COLUMNS.start + STANDARD_20.index(residue)


def _ids_of(piece: str, offset: int) -> NDArray[np.int64]:
    # "replace" turns each character beyond Latin-1 into one "?", so offsets stay true
    codes = np.frombuffer(piece.encode("latin-1", "replace"), dtype=np.uint8)
    ids = _ID_OF_BYTE[codes]
    bad = np.flatnonzero(ids == _UNKNOWN)
    if bad.size:
        first = int(bad[0])
        raise InvalidSequence.at(
            "sequence",
            f"position {offset + first} is {piece[first]!r}; "
            f"allowed are the letters {RESIDUES} in upper case and {MASK}",
        )
    return ids
