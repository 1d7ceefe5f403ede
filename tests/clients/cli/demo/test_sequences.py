"""What the demo asks about is what it says."""

from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from primase.cli.demo.sequences import (
    NUM_LEADER_BASES,
    RIBOSOME_SITE,
    START_CODON,
    contacts,
    sequence,
)
from primase.fasta import read_fasta
from tests.outside import outside
from tools.train_demo import genome, shuffles

ROOT = Path(__file__).parents[4]
COMPLEMENT = str.maketrans("ACGT", "TGCA")


@pytest.mark.parametrize(("name", "file"), [("phiX174", "phix174"), ("IF1_ECOLI", "if1_ecoli")])
def test_they_are_those_of_the_examples(name: str, file: str) -> None:
    (record,) = read_fasta(ROOT / "examples" / "data" / f"{file}.fasta")
    assert record.sequence.startswith(sequence(name))


def test_lacz_is_of_the_part_that_was_held_out() -> None:
    data = outside("data")
    ((_, letters),) = genome.read_fasta(data / f"{genome.ECOLI}.fna.gz")
    start = letters.find(sequence("lacZ").translate(COMPLEMENT)[::-1])
    assert (start + 1, start + len(sequence("lacZ"))) == (366_066, 366_405)
    spans = genome.spans(len(letters), genome.TEST_TURN)
    assert any(first <= start and start + 340 <= end for first, end in spans)
    assert sequence("lacZ")[START_CODON] == "ATG"
    assert sequence("lacZ")[RIBOSOME_SITE] == "AGGA"


def test_brodalumab_is_as_published() -> None:
    table = (outside("data") / "antibody" / "TheraSAbDab_clean.tsv").read_text()
    (row,) = (line.split("\t") for line in table.splitlines() if line.startswith("Brodalumab\t"))
    assert sequence("brodalumab_VH") in row


def test_the_shuffles_are_made_of_lacz() -> None:
    gene = sequence("lacZ")[NUM_LEADER_BASES:]
    generator = np.random.default_rng(7)
    bases = genome.encode(gene)
    codons = shuffles.shuffled_codons(bases, generator)
    pairs = shuffles.shuffled_pairs(bases, generator)
    assert sequence("lacZ_codons") == "".join("ACGT"[base] for base in codons)
    assert sequence("lacZ_pairs") == "".join("ACGT"[base] for base in pairs)
    assert Counter(pairwise(sequence("lacZ_pairs"))) == Counter(pairwise(gene))


def test_contacts_are_far_apart_along_the_chain() -> None:
    protein = sequence("IF1_ECOLI")
    assert len(contacts()) == 162
    assert all(0 <= i <= j - 6 and j < len(protein) for i, j in contacts())
