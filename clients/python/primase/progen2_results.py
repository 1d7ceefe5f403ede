"""What the calls of ProGen2 return, as plain frozen values with numpy arrays.

Proteins are written from N to C, whichever end the model began at. Logarithms are natural.
"""

from dataclasses import dataclass
from typing import Any, Self

from numpy.typing import NDArray

from primase.generation_results import Finished, Sample, TokenValues
from primase.names import TerminalName
from primase.progen2.v1 import progen2_service_pb2 as pb
from primase.results import Timings


@dataclass(frozen=True)
class Likelihood:
    """Log-likelihood of one protein over the 25 letters; of the residues, also the first read.

    sum_log_likelihood: the mean of both directions' sums.
    mean_log_likelihood: that over the number of residues.
    forward_sum_log_likelihood, reverse_sum_log_likelihood: read from N to C, and from C to N.
    residue_perplexity: exp(-mean_log_likelihood).
    token_perplexity: over the whole vocabulary, read from N to C, the terminal counted.
    """

    sum_log_likelihood: float
    mean_log_likelihood: float
    forward_sum_log_likelihood: float
    reverse_sum_log_likelihood: float
    residue_perplexity: float
    token_perplexity: float
    num_scored_residues: int

    @classmethod
    def of(cls, message: pb.Likelihood) -> Self:
        """That of a message."""
        return cls(
            message.sum_log_likelihood,
            message.mean_log_likelihood,
            message.forward_sum_log_likelihood,
            message.reverse_sum_log_likelihood,
            message.residue_perplexity,
            message.token_perplexity,
            message.num_scored_residues,
        )


@dataclass(frozen=True)
class ProteinScore:
    """What came of one protein of L residues.

    per_residue: [2, L] log-probabilities where asked for, read from N to C and from C to N; column
        i is residue i in both.
    """

    likelihood: Likelihood
    per_residue: NDArray[Any] | None
    timings: Timings


@dataclass(frozen=True)
class ProteinFinished(Finished):
    """The sample ended well.

    sequence: the whole protein, context included.
    likelihood: where asked for; None of a protein without residues.
    low_complexity_fraction: share of residues in stretches of low complexity, 0 to 1.
    terminal: where the model ended the protein: `n`, the usual end from C to N, or `c`; else None.
    terminal_token: that end as a token without text, with what was asked to be told of each.
    """

    sequence: str
    likelihood: Likelihood | None
    low_complexity_fraction: float
    terminal: TerminalName | None
    terminal_token: TokenValues | None


@dataclass(frozen=True)
class ProteinSample(Sample):
    """One generated protein. tokens: of the new residues, in the order in which they were drawn."""

    finished: ProteinFinished

    @property
    def sequence(self) -> str:
        """The whole protein, context included."""
        return self.finished.sequence

    @property
    def likelihood(self) -> Likelihood | None:
        """Where asked for."""
        return self.finished.likelihood
