"""Variants of a reference, and the windows of it that are read with and without them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from primase_server.errors import InvalidRequest, Violation
from primase_server.models.evo2.tokens import Tokens, text_of, tokenize

DEFAULT_WINDOW_BASES = 8192

_MAX_VIOLATIONS = 16  # more would not fit the trailers of a gRPC answer
_MAX_QUOTED = 32


@dataclass(frozen=True, slots=True)
class Variant:
    """`ref`, at the 0-based `position`, becomes `alt`; either may be empty."""

    position: int
    ref: str
    alt: str


@dataclass(frozen=True, slots=True)
class Window:
    """What is read of a reference: [start, stop) as it is, or the same place of it with a variant.

    stop: where the window would end if the reference went on far enough, so that a window with an
    insertion or deletion is as long as one without.
    """

    start: int
    stop: int
    variant: Variant | None = None

    def bases(self, reference: Tokens) -> Tokens:
        """The tokens of the window."""
        if self.variant is None:
            return reference[self.start : self.stop]
        place = self.variant.position
        behind = place + len(self.variant.ref)
        parts = [reference[self.start : place]]
        if self.variant.alt:
            parts.append(tokenize(self.variant.alt))
        left = self.stop - self.start - sum(map(len, parts))
        parts.append(reference[behind : behind + left])
        return np.concatenate(parts)

    def num_bases(self, num_reference_bases: int) -> int:
        """Its length, in a reference of that length."""
        grown = 0
        if self.variant is not None:
            grown = len(self.variant.alt) - len(self.variant.ref)
        return min(self.stop, num_reference_bases + grown) - self.start


def window_around(position: int, window_bases: int) -> Window:
    """From half a window before the position on, never before the first base."""
    start = position - window_bases // 2
    return Window(max(0, start), start + window_bases)


def check_variants(reference: Tokens, variants: Sequence[Variant], window_bases: int) -> None:
    """Raise InvalidRequest naming the first bad variants and what is wrong with each."""
    violations = []
    for index, variant in enumerate(variants):
        problem = _problem(reference, variant, window_bases)
        if problem:
            field, description = problem
            violations.append(Violation(f"variants[{index}]{field}", description))
            if len(violations) == _MAX_VIOLATIONS:
                break
    if violations:
        raise InvalidRequest(*violations)


def _problem(reference: Tokens, variant: Variant, window_bases: int) -> tuple[str, str] | None:
    """The field of a variant that is wrong, and why."""
    start, stop = variant.position, variant.position + len(variant.ref)
    if stop > len(reference) or (variant.ref and start >= len(reference)):
        last = f"{start}" if stop - start < 2 else f"{start} to {stop - 1}"
        return ".position", f"{last} is past the last base of the reference, {len(reference) - 1}"
    if not variant.ref and not variant.alt:
        return "", "has neither ref nor alt: nothing is replaced"
    found = text_of(reference[start:stop])
    if found != variant.ref:
        return ".ref", (
            f"the reference has {found[:_MAX_QUOTED]!r} at {start}, "
            f"you wrote {variant.ref[:_MAX_QUOTED]!r}"
        )
    window = window_around(start, window_bases)
    for name, allele in (("ref", variant.ref), ("alt", variant.alt)):
        if start + len(allele) > window.stop:
            return f".{name}", (
                f"has {len(allele)} bases, and a window of {window_bases} "
                f"holds {window.stop - start} from its position on"
            )
    applied = Window(window.start, window.stop, variant)
    if min(window.num_bases(len(reference)), applied.num_bases(len(reference))) < 2:
        return "", "leaves a window of fewer than two bases, in which nothing can be scored"
    return None
