"""The forms in which variants and regions of DNA are given to a call."""

from collections.abc import Iterable
from typing import NamedTuple


class DnaVariant(NamedTuple):
    """A replacement: `ref` at `position`, from 0, becomes `alt`.

    ref: checked against the reference; empty for an insertion before `position`.
    alt: empty for a deletion.
    """

    position: int
    ref: str
    alt: str


class DnaVariantQuery(NamedTuple):
    """A reference and its variants, each applied alone, or pairs of whole sequences.

    reference: plus strand.
    pairs: (ref, alt), each read whole; in place of a reference and its variants.
    """

    reference: str = ""
    variants: tuple[DnaVariant | tuple[int, str, str], ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()
    id: str = ""


class ScanQuery(NamedTuple):
    """A region of a reference: the bases from `start`, from 0, to before `end`.

    reference: plus strand.
    end: None is the end of the reference.
    """

    reference: str
    start: int = 0
    end: int | None = None
    id: str = ""


DnaVariantQueries = DnaVariantQuery | Iterable[DnaVariantQuery]
"""One query, or any number of them."""

ScanQueries = ScanQuery | Iterable[ScanQuery]
"""One region, or any number of them."""
