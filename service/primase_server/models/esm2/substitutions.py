"""Variants as text, such as `A42G` or `A42G:K50R`, read against their wild type."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from primase_server.errors import InvalidRequest, Violation
from primase_server.models.esm2.alphabet import STANDARD_20

_SUBSTITUTION = re.compile(r"([A-Z])([1-9][0-9]{0,8})([A-Z])", re.ASCII)
_MAX_VIOLATIONS = 16  # more would not fit the trailers of a gRPC answer
_MAX_QUOTED = 32


@dataclass(frozen=True, slots=True)
class Substitution:
    """One residue for another; `position` is 0-based."""

    old: str
    position: int
    new: str


def read_variants(wild_type: str, variants: Sequence[str]) -> list[tuple[Substitution, ...]]:
    """The substitutions of each variant, ascending by position.

    Raises InvalidRequest naming the first bad variants and what is wrong with each.
    """
    found: list[tuple[Substitution, ...]] = []
    violations: list[Violation] = []
    for index, text in enumerate(variants):
        try:
            found.append(_read_variant(wild_type, text))
        except _BadVariantError as error:
            violations.append(Violation(f"variants[{index}]", str(error)))
            if len(violations) == _MAX_VIOLATIONS:
                break
    if violations:
        raise InvalidRequest(*violations)
    return found


class _BadVariantError(ValueError):
    """What is wrong with one variant."""


def _read_variant(wild_type: str, text: str) -> tuple[Substitution, ...]:
    parts = sorted(
        (_read_substitution(wild_type, part) for part in text.split(":")),
        key=lambda part: part.position,
    )
    for before, after in pairwise(parts):
        if before.position == after.position:
            raise _BadVariantError(f"position {after.position + 1} is substituted twice")
    return tuple(parts)


def _read_substitution(wild_type: str, text: str) -> Substitution:
    match = _SUBSTITUTION.fullmatch(text)
    if match is None:
        raise _BadVariantError(
            f"{text[:_MAX_QUOTED]!r} is not a substitution such as A42G, or several joined by ':'"
        )
    old, number, new = match.group(1), int(match.group(2)), match.group(3)
    if number > len(wild_type):
        raise _BadVariantError(f"position {number} is past the last residue, {len(wild_type)}")
    actual = wild_type[number - 1]
    if actual != old:
        raise _BadVariantError(f"position {number} is {actual}, you wrote {old}")
    for letter in (old, new):
        if letter not in STANDARD_20:
            raise _BadVariantError(f"{letter} is not one of the 20 standard residues")
    return Substitution(old, number - 1, new)
