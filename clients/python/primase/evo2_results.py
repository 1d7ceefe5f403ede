"""What the calls of Evo 2 return, as plain frozen values with numpy arrays.

Positions are 0-based; row i of every array is base i of what was read, or of the region. Logarithms
are natural.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from primase.results import Timings


@dataclass(frozen=True)
class Forward:
    """Values of the layers of one sequence of L bases.

    layers: name as asked for -> [L, width]; pooled [width], or [windows, width].
    num_other_characters: those that are not A, C, G or T.
    """

    layers: Mapping[str, NDArray[Any]]
    num_other_characters: int
    timings: Timings


@dataclass(frozen=True)
class LayerRows:
    """Some rows of one layer; those of a layer come in order and without gaps.

    shape: that of the whole array.
    row_offset: index of the first row that is here.
    values: [rows, width], or [rows] of an array [width].
    """

    layer: str
    shape: tuple[int, ...]
    row_offset: int
    values: NDArray[Any]


@dataclass(frozen=True)
class ForwardRows:
    """What one message brings of a sequence.

    last: nothing more comes of it. What follows is set then, and 0 before.
    """

    layers: tuple[LayerRows, ...]
    last: bool
    num_other_characters: int
    timings: Timings


@dataclass(frozen=True)
class DnaScore:
    """Log-likelihood of one sequence of L bases.

    perplexity: exp(-mean_log_likelihood).
    num_scored_bases: L - 1, or L with a start token.
    num_other_characters: those that are not A, C, G or T.
    per_base: [L] log-probability of each base; 0 where it is not scored.
    entropy: [L] of the distribution over all 512 tokens that predicts each base, in nats.
    alternative_ids: [L, alternatives] int32, the most likely first.
    alternative_log_probs: the same shape.

    The arrays are None where they were not asked for.
    """

    sum_log_likelihood: float
    mean_log_likelihood: float
    perplexity: float
    num_scored_bases: int
    num_other_characters: int
    per_base: NDArray[Any] | None
    entropy: NDArray[Any] | None
    alternative_ids: NDArray[Any] | None
    alternative_log_probs: NDArray[Any] | None
    timings: Timings


@dataclass(frozen=True)
class DnaVariantScore:
    """One variant: log-likelihood of the window with it less that without; below 0: less likely."""

    delta_mean_log_likelihood: float
    delta_sum_log_likelihood: float
    reference_mean_log_likelihood: float
    variant_mean_log_likelihood: float


@dataclass(frozen=True)
class DnaVariantScores:
    """Scores of one query's variants or pairs, in the order given.

    recipe: window, strand, reduction, model and type of the numbers, in words.
    """

    scores: tuple[DnaVariantScore, ...]
    recipe: str
    timings: Timings


@dataclass(frozen=True)
class Scan:
    """Every substitution of every base of one region.

    deltas: [bases, 4], change of the sum of log-likelihoods by A, C, G and T; 0 for the base that
        is there.
    mean_delta: [bases], the mean over the three substitutions.
    min_delta: [bases], the lowest of the three.
    recipe: window, strand, mode, model and type of the numbers, in words.
    """

    deltas: NDArray[Any]
    mean_delta: NDArray[Any]
    min_delta: NDArray[Any]
    recipe: str
    timings: Timings
