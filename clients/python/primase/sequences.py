"""The forms in which sequences are given to a call."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple


class VariantQuery(NamedTuple):
    """A wild type and its variants such as `A42G` or `A42G:K50R`, positions from 1.

    Without variants, every single substitution is scored.
    """

    sequence: str
    variants: tuple[str, ...] = ()
    id: str = ""


Sequences = str | Iterable[str | tuple[str, str]]
"""One sequence, or any number of sequences or of pairs (id, sequence), such as `fasta.Record`."""

VariantQueries = VariantQuery | Iterable[VariantQuery]
"""One query, or any number of them."""


def named_sequences(sequences: Sequences) -> Iterator[tuple[str, str]]:
    """Pairs of id and sequence, the id empty where none was given."""
    if isinstance(sequences, str):
        sequences = (sequences,)
    for sequence in sequences:
        yield ("", sequence) if isinstance(sequence, str) else sequence
