"""The genomes that evo2-demo learns from: bases, coding phase, and the split by position."""

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Bases = npt.NDArray[np.uint8]
"""0 to 3 for A, C, G, T, so that 3 - base is the complement; 4 for what is none of them."""

ECOLI = "genomes/GCF_000005845.2_ASM584v2_genomic"
OTHERS = ("genomes/lambda_virus.fa", "genomes/MT-human.fa", "evo2/phix174")

BLOCK_TOKENS = 51_200
"""The genome of E. coli is cut into blocks of so many bases."""

BLOCKS_IN_TURN = 16
VALIDATION_TURN, TEST_TURN = 15, 7
"""Of each 16 blocks, counted from 0, which is kept for validation and which for the test."""

NONCODING = 6
"""Phase of a base outside the genes. 0, 1, 2: base of a codon, counted from 0, of a gene on the
strand that is read; 3, 4, 5: the same of a gene on the other one."""

UNKNOWN = 7
"""Phase of a base of a genome without annotation here."""

_CODES = np.full(256, 4, np.uint8)
for _letters in (b"ACGT", b"acgt"):
    _CODES[list(_letters)] = range(4)


@dataclass(frozen=True, eq=False)
class Stretch:
    """One strand of one piece of a genome, 5' to 3'. bases, phases: [n]."""

    bases: Bases
    phases: Bases

    def reverse(self) -> "Stretch":
        """The other strand."""
        bases = np.where(self.bases < 4, 3 - self.bases, 4).astype(np.uint8)[::-1]
        swapped = np.array([3, 4, 5, 0, 1, 2, NONCODING, UNKNOWN], np.uint8)
        return Stretch(bases.copy(), swapped[self.phases[::-1]])

    def __len__(self) -> int:
        return len(self.bases)


@dataclass(frozen=True)
class Gene:
    """A coding sequence: bases start to end - 1 of the forward strand, counted from 0."""

    name: str
    start: int
    end: int
    forward: bool


@dataclass(frozen=True, eq=False)
class Genome:
    """E. coli K-12, forward strand, with its genes in order."""

    whole: Stretch
    genes: tuple[Gene, ...]


def encode(letters: str) -> Bases:
    """The bases of a text."""
    return _CODES[np.frombuffer(letters.encode("ascii"), np.uint8)]


def read_fasta(path: Path) -> list[tuple[str, str]]:
    """Name and letters of each record; `.gz` is unpacked."""
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("ascii")
    records = []
    for record in text.split(">")[1:]:
        head, _, body = record.partition("\n")
        records.append((head.split()[0], "".join(body.split()).upper()))
    return records


def read_ecoli(data: Path) -> Genome:
    """The genome and its genes; a gene in several parts or with a shifted frame is left out."""
    ((_, letters),) = read_fasta(data / f"{ECOLI}.fna.gz")
    genes = tuple(_genes(gzip.decompress((data / f"{ECOLI}.gff.gz").read_bytes()).decode()))
    phases = np.full(len(letters), NONCODING, np.uint8)
    for gene in genes:
        codon = np.arange(gene.end - gene.start) % 3
        part = phases[gene.start : gene.end]
        part[:] = codon if gene.forward else 3 + codon[::-1]
    return Genome(Stretch(encode(letters), phases), genes)


def read_others(data: Path) -> list[Stretch]:
    """Phages lambda and phiX174, plasmid pPCP1 and the human mitochondrion, phases unknown."""
    from Bio import SeqIO

    letters = [read_fasta(data / name)[0][1] for name in OTHERS[:2]]
    for name in ("NC_001422.gbk", "NC_005816.gb"):
        record = SeqIO.read(  # type: ignore[no-untyped-call]
            data / "genomes" / name, "genbank"
        )
        letters.append(str(record.seq).upper())
    return [Stretch(encode(one), np.full(len(one), UNKNOWN, np.uint8)) for one in letters]


def part(genome: Genome, turn: int | None) -> list[Stretch]:
    """The blocks of one turn, or with None those for training, joined where they touch."""
    return [
        Stretch(genome.whole.bases[start:end], genome.whole.phases[start:end])
        for start, end in spans(len(genome.whole), turn)
    ]


def spans(num_bases: int, turn: int | None) -> Iterator[tuple[int, int]]:
    """Start and end of the pieces of `part`."""
    held = (VALIDATION_TURN, TEST_TURN)
    begun: int | None = None
    for index in range(-(-num_bases // BLOCK_TOKENS) + 1):
        start = index * BLOCK_TOKENS
        of_turn = index % BLOCKS_IN_TURN
        wanted = (
            of_turn == turn if turn is not None else of_turn not in held
        ) and start < num_bases
        if wanted and begun is None:
            begun = start
        if not wanted and begun is not None:
            yield begun, min(start, num_bases)
            begun = None


def _genes(gff: str) -> Iterator[Gene]:
    seen: dict[str, Gene | None] = {}
    for line in gff.splitlines():
        columns = line.split("\t")
        if len(columns) != 9 or columns[2] != "CDS" or "pseudo=true" in columns[8]:
            continue
        fields = dict(field.split("=", 1) for field in columns[8].split(";"))
        gene = Gene(fields["gene"], int(columns[3]) - 1, int(columns[4]), columns[6] == "+")
        seen[fields["ID"]] = None if fields["ID"] in seen else gene
    yield from (gene for gene in seen.values() if gene and (gene.end - gene.start) % 3 == 0)
