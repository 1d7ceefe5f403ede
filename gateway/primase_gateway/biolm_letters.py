"""Texts of some letters alone, as the generations of the BioLM API ask for them."""

import re

from pydantic_core import PydanticCustomError

STANDARD_RESIDUES = "ACDEFGHIKLMNPQRSTVWY"


class Letters:
    """An alphabet, and how others are refused. noun: what its letters are."""

    def __init__(self, noun: str, letters: str) -> None:
        self.said = f"{noun} can only be represented with '{letters}' characters"
        self.pattern = f"^[{letters}]*$"
        self._text = re.compile(f"[{letters}]*")

    def check_hosted(self, text: str) -> str:
        """`text` if it has no other letter; else the first one is named with its place."""
        return whole_match(self._text, text, self.said)

    def check_hub(self, text: str) -> str:
        """`text` if it has no other letter, and some."""
        if not text or not self._text.fullmatch(text):
            raise ValueError(self.said)
        return text


def whole_match(allowed: re.Pattern[str], text: str, said: str) -> str:
    """`text` if it is `allowed` up to its end; else `said`, and where it is not."""
    matched = allowed.match(text)
    end = matched.end() if matched else 0
    if end < len(text):
        raise PydanticCustomError(
            "letters",
            "{said}; found {character} at position {position}, counted from 0",
            {"said": said, "character": ascii(text[end]), "position": end},
        )
    return text
