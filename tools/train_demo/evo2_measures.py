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

NUM_BEHIND = 8
"""Bases behind a variant at which its effect is still counted. Of those within 24 bases nine tenths
lie there, on validation; farther on, what is added is more noise than period."""

FIRST_CODON, PIECE_CODONS, NUM_PIECES = 20, 3, 12
LEAST_BASES = 450
"""Of a gene whose codons are varied: the first are read for the frame, the others have room."""

_PIECE_TOKENS = 8192
TOKENS = np.frombuffer(LETTERS, np.uint8).astype(np.int64)


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
        ids = torch.from_numpy(TOKENS[rows[start : start + at_once]])
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


def held_out_genes(
    whole: Genome, least: int = 150, most: int = 1500, turn: int = genome.TEST_TURN
) -> list[Gene]:
    """The genes that lie within the test part, or another, and have about that many bases."""
    spans = list(genome.spans(len(whole.whole), turn))
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
    model: Evo2,
    bases: Bases,
    firsts: Sequence[int],
    num_bases: int,
    num_behind: int = NUM_BEHIND,
) -> Floats:
    """log2 p(variant) - log2 p(reference) of single bases, those of transversions and transition.

    firsts: where the pieces of `num_bases` bases begin whose bases are varied, ascending. Axes are
    piece, base, variant: [pieces, num_bases, 3], the second variant being the transition (A and G,
    C and T). What differs is summed over the base itself and the `num_behind` bases behind it: as
    many for every base, since the sum falls on with its length. All that is before a piece is read.
    """
    state, at, found = model.new_state(), 0, []
    for first in firsts:
        rows = [bases[first : first + num_bases + num_behind]]
        for place in range(num_bases):
            for other in range(1, 4):
                row = rows[0].copy()
                row[place] = (row[place] + other) % 4
                rows.append(row)
        ids = torch.from_numpy(TOKENS[np.stack(rows)])
        before = model.extend([torch.from_numpy(TOKENS[bases[at:first]])], [state])
        hidden = model.extend([*ids], [state.fork() for _ in rows])
        assert before is not None
        assert hidden is not None
        at_first = model.logits(before[-1:]).log_softmax(1)[0, ids[:, :1]]
        log_probs = model.logits(hidden).log_softmax(1).view(*ids.shape, -1)[:, :-1]
        behind = log_probs.gather(2, ids[:, 1:, None])[..., 0]
        differences = torch.cat([at_first, behind], 1).double()
        sums = (differences[1:] - differences[0]).view(num_bases, 3, -1).cumsum(2)
        sums = torch.cat([torch.zeros(num_bases, 3, 1), sums], 2)
        places = torch.arange(num_bases)
        found.append(sums[places, :, places + num_behind + 1] - sums[places, :, places])
        at = first
    effects: Floats = torch.stack(found).numpy() / np.log(2)
    return effects


def codon_effects(model: Evo2, bases: Bases, num_pieces: int = NUM_PIECES) -> Floats:
    """Effects in codons of a gene, in pieces of three that are spread over it.

    [codons, 3, 3]: codon, base of it, variant.
    """
    last = len(bases) // 3 - PIECE_CODONS - -(-NUM_BEHIND // 3)
    firsts = np.linspace(FIRST_CODON, last, num_pieces).astype(int) * 3
    return variant_effects(model, bases, firsts.tolist(), 3 * PIECE_CODONS).reshape(-1, 3, 3)
