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


def period_test(effects: Values, draws: int = 9_999, seed: int = 0) -> float:
    """p of effects that differ as much between the bases of a codon, if these made no difference.

    effects: [genes, 3], a gene's mean variant effect at each base of its codons. Under the
    hypothesis a gene could as well be read from its second or third base on, so that its three
    means take turns, all its codons together: they are neighbours, and know of each other. What
    is compared is the variance of the three means over all genes.
    """
    turns = np.random.default_rng(seed).integers(3, size=(draws, len(effects)))
    turned = [effects[np.arange(len(effects)), (turns + base) % 3].mean(1) for base in range(3)]
    hits = int((np.stack(turned).var(0) >= effects.mean(0).var() - 1e-12).sum())
    return float((1 + hits) / (1 + draws))


def above(gains: Values, draws: int = 10_000, seed: int = 0) -> float:
    """One-sided 95 % bootstrap bound of a mean, from below."""
    return -upper_bound(-gains, draws, seed)
