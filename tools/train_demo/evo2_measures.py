"""What evo2-demo is held to: bits per base, genes against controls, variants by codon position."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from primase_server.models.evo2.model import Evo2
from primase_server.models.evo2.weights import LocalWeights, load
from tools.train_demo import genome
from tools.train_demo.evo2_network import LETTERS
from tools.train_demo.genome import Bases, Gene, Genome, Stretch
from tools.train_demo.markov import Markov, bits
from tools.train_demo.shuffles import shuffled_codons, shuffled_pairs

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_PIECE_TOKENS = 8192
_TABLE = np.frombuffer(LETTERS, np.uint8).astype(np.int64)


@dataclass(frozen=True)
class Order:
    """A Markov model of one order, blended into the orders below by `weight`, or with `pseudo`
    counts alone."""

    order: int
    weight: float | None = None
    pseudo: float | None = None

    def bits(self, model: Markov, stretch: Stretch) -> Floats:
        """Of each base, [n]."""
        if self.pseudo is not None:
            found = model.additive(stretch, self.order, self.pseudo)
        else:
            found = model.probabilities(stretch, [1.0] + [self.weight or 1.0] * self.order)
        return bits(found, stretch).astype(np.float64)


def read_model(folder: Path) -> Evo2:
    """The shipped files, as they are served on a CPU."""
    return load(LocalWeights(folder)).model


@torch.inference_mode()
def bits_per_base(model: Evo2, rows: npt.NDArray[np.uint8]) -> Floats:
    """-log2 p of each base but the first, of all 512 tokens: [rows, n] -> [rows, n - 1]."""
    found = []
    at_once = max(1, _PIECE_TOKENS // rows.shape[1])
    for start in range(0, len(rows), at_once):
        ids = torch.from_numpy(_TABLE[rows[start : start + at_once]])
        hidden = model.extend([*ids], [model.new_state() for _ in ids])
        assert hidden is not None
        log_probs = model.logits(hidden).log_softmax(1).view(*ids.shape, -1)[:, :-1]
        chosen = log_probs.gather(2, ids[:, 1:, None])[..., 0]
        found.append(chosen.double().numpy() / -np.log(2))
    return np.concatenate(found)


def windows(stretches: Sequence[Stretch], length: int) -> npt.NDArray[np.uint8]:
    """Windows side by side of each stretch: [windows, length]; what is left over is left out."""
    rows = [one.bases[: len(one) // length * length].reshape(-1, length) for one in stretches]
    return np.concatenate(rows)


def markov_windows(
    model: Markov, order: Order, stretches: Sequence[Stretch], length: int
) -> Floats:
    """Mean bits per base of those windows, each base with all that is before it in the stretch."""
    rows = []
    for one in stretches:
        whole = len(one) // length * length
        rows.append(order.bits(model, one)[:whole].reshape(-1, length)[:, 1:].mean(1))
    return np.concatenate(rows)


def held_out_genes(whole: Genome, least: int = 150, most: int = 1500) -> list[Gene]:
    """The genes that lie within the test part and have about that many bases."""
    spans = list(genome.spans(len(whole.whole), genome.TEST_TURN))
    return [
        gene
        for gene in whole.genes
        if least <= gene.end - gene.start <= most
        and any(start <= gene.start and gene.end <= end for start, end in spans)
    ]


def bases_of(whole: Genome, gene: Gene) -> Bases:
    """The gene as it is read."""
    piece = whole.whole.bases[gene.start : gene.end]
    return piece if gene.forward else (3 - piece[::-1]).astype(np.uint8)


def genes_and_controls(model: Evo2, whole: Genome, genes: Sequence[Gene], seed: int = 0) -> Floats:
    """Mean bits per base of each gene, its codons shuffled, its pairs shuffled: [genes, 3]."""
    generator = np.random.default_rng(seed)
    rows = []
    for gene in genes:
        bases = bases_of(whole, gene)
        three = [bases, shuffled_codons(bases, generator), shuffled_pairs(bases, generator)]
        rows.append(bits_per_base(model, np.stack(three)).mean(1))
    return np.stack(rows)


@torch.inference_mode()
def variant_effects(
    model: Evo2, bases: Bases, start: int, num_codons: int, behind: int = 24
) -> Floats:
    """log2 p(variant) - log2 p(reference) of the three variants at each base: [codons, 3, 3].

    Read are the gene up to codon `start` once, and from there on, for each variant, the codons and
    `behind` bases more. Axes are codon, base of the codon, variant.
    """
    first, num_bases = start * 3, num_codons * 3
    rows = [bases[first : first + num_bases + behind]]
    for place in range(num_bases):
        for other in range(1, 4):
            row = rows[0].copy()
            row[place] = (row[place] + other) % 4
            rows.append(row)
    ids = torch.from_numpy(_TABLE[np.stack(rows)])
    state = model.new_state()
    before = model.extend([torch.from_numpy(_TABLE[bases[:first]])], [state])
    hidden = model.extend([*ids], [state.fork() for _ in rows])
    assert before is not None
    assert hidden is not None
    at_first = model.logits(before[-1:]).log_softmax(1)[0, ids[:, 0]]
    log_probs = model.logits(hidden).log_softmax(1).view(*ids.shape, -1)[:, :-1]
    behind_it = log_probs.gather(2, ids[:, 1:, None])[..., 0].sum(1)
    totals = (at_first + behind_it).double().numpy() / np.log(2)
    effects: Floats = (totals[1:] - totals[0]).reshape(num_codons, 3, 3)
    return effects


def effects_by_codon_base(
    model: Evo2, whole: Genome, genes: Sequence[Gene], num_codons: int = 6, start: int = 20
) -> Floats:
    """Mean variant effect at each base of some codons of each gene: [genes * codons, 3]."""
    return np.concatenate(
        [variant_effects(model, bases_of(whole, gene), start, num_codons).mean(2) for gene in genes]
    )
