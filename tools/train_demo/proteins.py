"""The proteins that esm2-demo and progen2-demo learn from, and their split by likeness."""

import csv
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from tools.train_demo import genome

LEAST_IDENTITY = 0.7
"""Identical residues over those of the shorter protein, from which two are of one cluster."""

SHARES = {"test": 0.1, "validation": 0.1}
"""Of each source's residues, about; the rest is for training."""

STANDARD = frozenset("ACDEFGHIKLMNPQRSTVWY")
_WORD = 4
_LEAST_LENGTH, _MOST_LENGTH = 20, 1000
_GENETIC_CODE = dict(
    zip(
        (a + b + c for a in "TCAG" for b in "TCAG" for c in "TCAG"),
        "FFLLSSSSYY**CC*WLLLLPPPPHHQQRRRRIIIMTTTTNNKKSSRRVVVVAAAADDEEGGGG",
        strict=True,
    )
)


@dataclass(frozen=True)
class Protein:
    """One protein; source is `ecoli`, `uniprot`, `VH` or `VL`."""

    name: str
    source: str
    sequence: str


@dataclass(frozen=True)
class Split:
    """The proteins of each part, whole clusters together."""

    training: tuple[Protein, ...]
    validation: tuple[Protein, ...]
    test: tuple[Protein, ...]

    @property
    def digest(self) -> str:
        """Names this split: 16 hex digits of the SHA-256 of its sequences, part by part.

        Checkpoints and reports carry it, so that none is read with another split than its own.
        """
        parts = (self.training, self.validation, self.test)
        told = "\n\n".join("\n".join(one.sequence for one in part) for part in parts)
        return sha256(told.encode("ascii")).hexdigest()[:16]


def read_proteins(data: Path) -> list[Protein]:
    """All of them, each sequence once, of standard residues alone."""
    found: dict[str, Protein] = {}
    for protein in (*read_antibodies(data), *_uniprot(data), *_ecoli(data)):
        fits = _LEAST_LENGTH <= len(protein.sequence) <= _MOST_LENGTH
        if fits and STANDARD.issuperset(protein.sequence):
            found.setdefault(protein.sequence, protein)
    return list(found.values())


def read_antibodies(data: Path) -> Iterable[Protein]:
    """Variable domains of therapeutic antibodies."""
    with (data / "antibody" / "TheraSAbDab_clean.tsv").open(encoding="utf-8") as table:
        for row in csv.DictReader(table, delimiter="\t"):
            for second in ("", " (if bispec)"):
                for chain, source in (("Heavy", "VH"), ("Light", "VL")):
                    sequence = (row[f"{chain} Sequence{second}"] or "").strip()
                    yield Protein(f"{row['Therapeutic']}{second} {source}", source, sequence)
    for path in sorted((data / "antibody").glob("humab25_*.fa")):
        kind = path.stem.removeprefix("humab25_")
        for record in path.read_text(encoding="ascii").split(">")[1:]:
            head, _, body = record.partition("\n")
            yield Protein(f"{head} {kind}", head.split()[-1], "".join(body.split()))


def split_proteins(proteins: Sequence[Protein], seed: int = 0) -> Split:
    """Whole clusters, in random order, to test and validation until these have their shares."""
    clusters: dict[int, list[Protein]] = defaultdict(list)
    for protein, cluster in zip(
        proteins, cluster_by_identity([one.sequence for one in proteins]), strict=True
    ):
        clusters[cluster].append(protein)
    total = Counter[str]()
    for protein in proteins:
        total[protein.source] += len(protein.sequence)
    order = sorted(clusters)
    random.Random(seed).shuffle(order)
    parts: dict[str, list[Protein]] = {"test": [], "validation": [], "training": []}
    taken: Mapping[str, Counter[str]] = {name: Counter() for name in parts}
    for cluster in order:
        members = clusters[cluster]
        source = members[0].source
        size = sum(len(one.sequence) for one in members)
        name = next(
            (
                name
                for name, share in SHARES.items()
                # a cluster of half an antibody source is not for measuring
                if taken[name][source] + size <= 1.1 * share * total[source]
            ),
            "training",
        )
        taken[name][source] += size
        parts[name] += members
    return Split(tuple(parts["training"]), tuple(parts["validation"]), tuple(parts["test"]))


def cluster_by_identity(sequences: Sequence[str]) -> list[int]:
    """Cluster of each sequence, by the index of its first member.

    Greedy, as CD-HIT does it: from long to short, each joins the first cluster whose first member
    is as like it as LEAST_IDENTITY, or begins one. Only those are aligned that share as many words
    of four residues as such likeness hardly ever lacks.
    """
    from Bio.Align import PairwiseAligner

    aligner = PairwiseAligner(  # type: ignore[no-untyped-call]
        mode="global", match_score=1, mismatch_score=0, open_gap_score=-0.5, extend_gap_score=-0.1,
        end_gap_score=0,
    )  # fmt: skip
    cluster = [-1] * len(sequences)
    places: dict[str, list[int]] = defaultdict(list)
    for index in sorted(range(len(sequences)), key=lambda i: -len(sequences[i])):
        sequence = sequences[index]
        words = {sequence[i : i + _WORD] for i in range(len(sequence) - _WORD + 1)}
        shared = Counter(first for word in words for first in places[word])
        # of as many words the earlier sequence: the order of a set is another in each process
        for first, count in sorted(shared.items(), key=lambda one: (-one[1], one[0]))[:30]:
            if count < 0.08 * len(words):
                break
            aligned = aligner.align(sequence, sequences[first])[0]  # type: ignore[no-untyped-call]
            if aligned.counts().identities >= LEAST_IDENTITY * len(sequence):
                cluster[index] = first
                break
        if cluster[index] < 0:
            cluster[index] = index
            for word in words:
                places[word].append(index)
    return cluster


def translate(letters: str) -> str:
    """The protein of a coding sequence, its first codon M and its stop left out; `*` is a stop."""
    codons = (letters[i : i + 3] for i in range(3, len(letters) - 3, 3))
    return "M" + "".join(_GENETIC_CODE.get(codon, "X") for codon in codons)


def _ecoli(data: Path) -> Iterable[Protein]:
    whole = genome.read_ecoli(data)
    letters = "ACGTN"
    for gene in whole.genes:
        piece = genome.Stretch(
            whole.whole.bases[gene.start : gene.end], whole.whole.phases[gene.start : gene.end]
        )
        bases = piece if gene.forward else piece.reverse()
        yield Protein(gene.name, "ecoli", translate("".join(letters[b] for b in bases.bases)))


def _uniprot(data: Path) -> Iterable[Protein]:
    for name, sequence in genome.read_fasta(data / "proteins" / "uniprot_500_QUERY.fasta"):
        yield Protein(name, "uniprot", sequence)
