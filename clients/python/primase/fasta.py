"""A small and strict reader of FASTA.

A record is a line `>name description` and one or more lines of sequence. Blank lines are passed
over. The text is ASCII, nothing is made upper case, and no record lacks a name or a sequence.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from primase.input_error import InputError

_NO_RESIDUE = re.compile("[^!-~]")


class FastaError(InputError):
    """The text is not FASTA; the message names the line."""


class Record(NamedTuple):
    """One sequence: `id` is the first word of its header."""

    id: str
    sequence: str


def read_fasta(path: Path) -> Iterator[Record]:
    """The records of a file, read as they are needed. Raises FastaError and OSError."""
    with path.open("rb") as lines:
        yield from parse_fasta(lines)


def parse_fasta(lines: Iterable[bytes]) -> Iterator[Record]:
    """The records of some lines, read as they are needed. Raises FastaError."""
    id_ = ""
    header_number = 0
    parts: list[str] = []
    for number, line in enumerate(lines, start=1):
        text = _text(line, number)
        if text.startswith(">"):
            if header_number:
                yield _record(id_, parts, header_number)
            id_, header_number, parts = _name(text, number), number, []
        elif text:
            if not header_number:
                raise FastaError(number, "sequence before the first `>`")
            parts.append(_residues(text, number))
    if header_number:
        yield _record(id_, parts, header_number)


def _text(line: bytes, number: int) -> str:
    try:
        return line.decode("ascii").rstrip()
    except UnicodeDecodeError as error:
        raise FastaError(number, f"byte {error.start} is not ASCII") from error


def _name(header: str, number: int) -> str:
    words = header[1:].split(maxsplit=1)
    if not words or header[1].isspace():
        raise FastaError(number, "a header needs a name right after `>`")
    return words[0]


def _residues(text: str, number: int) -> str:
    if found := _NO_RESIDUE.search(text):
        raise FastaError(number, f"{found[0]!r} at position {found.start()} inside a sequence")
    return text


def _record(id_: str, parts: list[str], header_number: int) -> Record:
    if not parts:
        raise FastaError(header_number, f"{id_!r} has no sequence")
    return Record(id_, "".join(parts))
