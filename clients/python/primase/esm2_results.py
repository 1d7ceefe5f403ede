"""What the calls of ESM-2 return, as plain frozen values with numpy arrays.

Positions are 0-based; row i of every array is residue i of the sequence. Logarithms are natural.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from numpy.typing import NDArray

from primase.names import MultiMutantName, ScoreModeName, VariantMethodName
from primase.results import Timings

ArrayT = TypeVar("ArrayT")


@dataclass(frozen=True)
class Encoding(Generic[ArrayT]):
    """Everything asked for of one sequence of L residues; what was not asked for is empty or None.

    mean, bos: layer -> [width].
    per_token: layer -> [L, width].
    contacts: [L, L] probabilities.
    logits: [L, 33], columns in the order of the model's vocabulary.
    attentions: [layers, L].
    attention_maps: (layer, head) -> [L, L], query by key.

    Layers are non-negative: the last of a model with 33 blocks is 33, asked for as -1 or as 33.
    """

    num_residues: int
    mean: Mapping[int, ArrayT]
    bos: Mapping[int, ArrayT]
    per_token: Mapping[int, ArrayT]
    contacts: ArrayT | None
    logits: ArrayT | None
    attentions: ArrayT | None
    attention_maps: Mapping[tuple[int, int], ArrayT]
    timings: Timings


@dataclass(frozen=True)
class Candidate:
    """A residue that may stand behind a mask, and its probability among the 20 standard ones."""

    residue: str
    probability: float


@dataclass(frozen=True)
class MaskPrediction:
    """One mask: its position, and its candidates, most likely first."""

    position: int
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True)
class Prediction:
    """The masks of one sequence in order of position.

    sequence_tokens: the sequence as tokens; a mask is `<mask>`.
    logits: [L, 33] where asked for.
    """

    masks: tuple[MaskPrediction, ...]
    sequence_tokens: tuple[str, ...]
    logits: NDArray[Any] | None


@dataclass(frozen=True)
class SequenceScore:
    """Log-likelihood of one sequence over the 20 standard residues; others are not scored.

    mode: `one_pass` or `pseudo`; None where this client does not know it.
    perplexity: exp(-mean_log_likelihood).
    per_residue: [L] where asked for; 0 for a residue that is not scored.
    """

    mode: ScoreModeName | None
    sum_log_likelihood: float
    mean_log_likelihood: float
    perplexity: float
    num_scored_residues: int
    per_residue: NDArray[Any] | None
    timings: Timings


@dataclass(frozen=True)
class VariantScore:
    """One variant as given, such as `A42G`; a score above 0 is more likely than the wild type."""

    variant: str
    score: float


@dataclass(frozen=True)
class VariantScores:
    """Scores of one sequence's variants, in the order given.

    method: `wildtype_marginal` or `masked_marginal`; None where this client does not know it.
    multi_mutant: `wildtype_fill` or `mask_all`; None likewise.
    scan: [L, 20] where no variants were given: every single substitution, 0 at the wild type.
    scan_residues: the letters of the columns of `scan`.
    """

    method: VariantMethodName | None
    multi_mutant: MultiMutantName | None
    scores: tuple[VariantScore, ...]
    scan: NDArray[Any] | None
    scan_residues: str
    timings: Timings
