"""The sequences that the demo asks about; `data/SOURCES.md` says whose they are."""

from functools import cache
from importlib.resources import files

from primase.fasta import parse_fasta

NUM_LEADER_BASES = 100
"""Of `lacZ`, before the start codon."""

START_CODON = slice(NUM_LEADER_BASES, NUM_LEADER_BASES + 3)
"""In `lacZ`."""

RIBOSOME_SITE = slice(NUM_LEADER_BASES - 11, NUM_LEADER_BASES - 7)
"""In `lacZ`: the bases AGGA, which pair with the end of the ribosome's 16S RNA."""


@cache
def sequence(name: str) -> str:
    """One of `data/*.fasta`."""
    return {
        record.id: record.sequence
        for file in ("dna.fasta", "proteins.fasta")
        for record in parse_fasta(_lines(file))
    }[name]


@cache
def contacts() -> frozenset[tuple[int, int]]:
    """Pairs of residues of IF1_ECOLI, from 0 and the lower first, at least 6 apart along the chain
    and with their C-beta atoms nearer than 8 angstroms in its predicted structure.
    """
    pairs = (line.split() for line in _lines("if1_ecoli_contacts.tsv")[1:])
    return frozenset((int(first) - 1, int(second) - 1) for first, second in pairs)


def _lines(name: str) -> list[bytes]:
    return files(__package__).joinpath("data", name).read_bytes().splitlines()
