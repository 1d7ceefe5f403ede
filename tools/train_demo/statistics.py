"""How sure a difference is: bootstrap bounds and permutation tests, seeded."""

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]


def upper_bound(differences: Values, draws: int = 10_000, seed: int = 0) -> float:
    """One-sided 95 % bootstrap bound of the mean: with a bound below 0, the mean is."""
    chosen = np.random.default_rng(seed).integers(len(differences), size=(draws, len(differences)))
    return float(np.quantile(differences[chosen].mean(1), 0.95))


def least_share(hits: int, of: int, draws: int = 10_000, seed: int = 0) -> float:
    """One-sided 95 % bootstrap bound of a share, from below."""
    drawn = np.random.default_rng(seed).binomial(of, hits / of, draws) / of
    return float(np.quantile(drawn, 0.05))


def rotation_test(effects: Values, draws: int = 9_999, seed: int = 0) -> float:
    """p of effects that differ as much between the bases of a codon, were its phase any of three.

    effects: [genes, 3], mean variant effect at each base of a codon. Under the hypothesis that
    phase means nothing each gene may be turned by 0, 1 or 2 bases. What is compared is the
    variance of the three means over all genes.
    """
    turned = np.stack([np.roll(effects, turn, 1) for turn in range(3)], 1)  # [genes, turns, 3]
    turns = np.random.default_rng(seed).integers(3, size=(draws, len(effects)))
    drawn = turned[np.arange(len(effects)), turns].mean(1).var(1)
    return float((1 + (drawn >= effects.mean(0).var()).sum()) / (1 + draws))
