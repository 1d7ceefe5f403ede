"""What a screener is asked, and what it says."""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

CODE = re.compile(r"[A-Z0-9._-]{1,64}")
UNNAMED = "UNNAMED"
"""Code of a refusal that has none, or one that cannot be."""

MAX_MESSAGE_CHARACTERS = 256


class SequenceKind(Enum):
    """What a sequence is made of."""

    DNA = "dna"
    PROTEIN = "protein"


@dataclass(frozen=True)
class Question:
    """One sample that has ended.

    caller: name of their key, or "". sequence: all of it with the prompt, from 5' to 3' or from N
    to C. prompt: the part of it that was given.
    """

    request_id: str
    caller: str
    model: str
    kind: SequenceKind
    sequence: str
    prompt: str
    item_index: int
    sample_index: int


@dataclass(frozen=True)
class Refused:
    """It may not be told. `code` is for the log, `message` for the caller alone."""

    code: str
    message: str

    @classmethod
    def of(cls, code: str, message: str) -> "Refused":
        """Within bounds, whatever the screener said."""
        printable = "".join(letter for letter in message if letter.isprintable())
        known = code if CODE.fullmatch(code) else UNNAMED
        return cls(known, printable[:MAX_MESSAGE_CHARACTERS])


class ScreenerFailed(Exception):
    """There is no verdict. The text says why in words that may be logged."""


class Screener(Protocol):
    """Asked on one event loop. All of its questions may be given up while they wait."""

    async def start(self) -> None:
        """Be ready to be asked. Raises OSError where it never can be."""

    async def screen(self, question: Question) -> Refused | None:
        """The verdict: None allows it. Raises ScreenerFailed."""

    async def close(self) -> None:
        """Nothing more will be asked."""
