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

    effects: [codons, 3], mean variant effect at each base. Under the hypothesis the three of a
    codon may change places; what is compared is the variance of the three means.
    """
    generator = np.random.default_rng(seed)
    found = effects.mean(0).var()
    hits = sum(generator.permuted(effects, axis=1).mean(0).var() >= found for _ in range(draws))
    return float((1 + hits) / (1 + draws))
