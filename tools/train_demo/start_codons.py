"""What variants cost around start codons: is there a dip at the start, and where ribosomes bind?"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from primase_server.models.evo2.model import Evo2
from tools.train_demo import genome
from tools.train_demo.evo2_measures import bases_of, variant_effects
from tools.train_demo.genome import Gene, Genome
from tools.train_demo.statistics import above

Floats = npt.NDArray[np.float64]

BASES_READ = 200
"""Before a start codon, so that the model knows where it is."""

FIRST, LAST = -30, 32
"""Bases that are varied, counted from the first of the start codon, which is 0."""

NUM_BEHIND = 24
"""A binding site tells of a start codon 5 to 9 bases behind it, and that of the gene."""

BINDING_SITE, START_CODON = (-10, -8), (0, 2)
"""First and last base. Of the binding site it is what dips on validation: 120 genes were read."""

FLANKS = {
    "binding_site": {"before": (-30, -19), "after": (-5, -1)},
    "start_codon": {"before": (-30, -19), "after": (9, 32)},
}
_PIECE_BASES = 9


def starts_of_genes(whole: Genome, turn: int, most: int) -> list[Gene]:
    """Genes of a part with all that is read around their starts in it, evenly spread."""
    spans = list(genome.spans(len(whole.whole), turn))
    found = [
        gene
        for gene in whole.genes
        if gene.end - gene.start >= LAST + NUM_BEHIND + 1
        and any(
            start <= around.start and around.end <= end
            for around in [_around(gene)]
            for start, end in spans
        )
    ]
    places = np.linspace(0, len(found) - 1, min(most, len(found))).astype(int)
    return [found[place] for place in places]


def start_effects(model: Evo2, whole: Genome, genes: Sequence[Gene]) -> Floats:
    """Mean effect of the three variants at each base from FIRST to LAST: [genes, bases]."""
    firsts = range(BASES_READ + FIRST, BASES_READ + LAST, _PIECE_BASES)
    rows = []
    for gene in genes:
        bases = bases_of(whole, _around(gene))
        effects = variant_effects(model, bases, firsts, _PIECE_BASES, NUM_BEHIND)
        rows.append(effects.mean(2).ravel())
    return np.stack(rows)


def dips(effects: Floats) -> dict[str, dict[str, float]]:
    """How far effects at the two sites lie below their flanks, with 95 % bounds from below."""

    def mean(ends: tuple[int, int]) -> Floats:
        means: Floats = effects[:, ends[0] - FIRST : ends[1] - FIRST + 1].mean(1)
        return means

    found = {}
    for name, ends in (("binding_site", BINDING_SITE), ("start_codon", START_CODON)):
        found[name] = {"mean_effect": float(mean(ends).mean())}
        for side, flank in FLANKS[name].items():
            depths = mean(flank) - mean(ends)
            found[name][f"below_{side}"] = float(depths.mean())
            found[name][f"below_{side}_bound"] = above(depths)
    return found


def _around(gene: Gene) -> Gene:
    # what is read: BASES_READ before the start codon, and the gene as far as effects are counted
    behind = LAST + NUM_BEHIND + 1
    if gene.forward:
        return Gene(gene.name, gene.start - BASES_READ, gene.start + behind, gene.forward)
    return Gene(gene.name, gene.end - behind, gene.end + BASES_READ, gene.forward)
