"""Score: how likely the model finds a whole sequence."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from primase_server.errors import InvalidSequence
from primase_server.models.esm2.alphabet import STANDARD_20, STANDARD_COLUMNS, tokenize_residues
from primase_server.models.esm2.cost import FLOAT32_BYTES
from primase_server.models.esm2.marginals import Marginals, Query
from primase_server.models.esm2.passes import Esm2Pass, Float32Array
from primase_server.models.esm2.served import Esm2Served


class ScoreMode(Enum):
    """ONE_PASS reads all residues in one unmasked pass, so the model sees what it scores.

    PSEUDO masks each residue in turn: the pseudo-log-likelihood.
    """

    ONE_PASS = "one_pass"
    PSEUDO = "pseudo"


@dataclass(frozen=True, eq=False)
class ScoreResult:
    """Log-probabilities, natural, over the 20 standard residues; other letters are not scored.

    per_residue: [L], 0 where a letter is not scored. The mean is over the scored residues and
    the perplexity is exp(-mean).
    """

    mode: ScoreMode
    sum_log_likelihood: float
    mean_log_likelihood: float
    perplexity: float
    num_scored_residues: int
    per_residue: Float32Array


@dataclass(frozen=True, eq=False)
class ScoreItem:
    """One sequence to score; above 1,022 residues it is read in overlapping windows."""

    mode: ScoreMode
    scored: NDArray[np.int64]
    marginals: Marginals

    @classmethod
    def build(
        cls, served: Esm2Served, sequence: str, mode: ScoreMode = ScoreMode.PSEUDO
    ) -> "ScoreItem":
        """Check everything; raises InvalidSequence, also where no residue can be scored, and
        OutputUnavailable."""
        token_ids = tokenize_residues(sequence)
        served.require(logits=True)
        scored = np.flatnonzero(is_standard(token_ids[1:-1]))
        if not scored.size:
            raise InvalidSequence.at("sequence", f"has none of the residues {STANDARD_20}")
        positions = tuple(scored.tolist())
        if mode is ScoreMode.ONE_PASS:
            queries = [Query(masked=(), read=positions)]
        else:
            queries = [Query(masked=(position,), read=(position,)) for position in positions]
        return cls(mode, scored, Marginals.over(served, token_ids, queries))

    @property
    def num_tokens(self) -> int:
        """Tokens over all passes."""
        return self.marginals.num_tokens

    @property
    def num_bytes(self) -> int:
        """Bytes of the outputs that wait for the last one, and of the result."""
        result_bytes = len(self.marginals.residue_ids) * FLOAT32_BYTES
        return self.marginals.num_output_bytes + result_bytes

    def passes(self) -> Iterator[Esm2Pass]:
        """One pass, or one for each scored residue; more where there are windows."""
        return self.marginals.passes()

    def finish(self, outputs: Sequence[object]) -> ScoreResult:
        """The score, from the outputs of the passes."""
        table = np.concatenate(list(self.marginals.log_probabilities(outputs)))  # [scored, 20]
        residue_ids = self.marginals.residue_ids
        columns = residue_ids[self.scored] - STANDARD_COLUMNS.start
        scores = table[np.arange(len(columns)), columns]
        per_residue = np.zeros(len(residue_ids), dtype=np.float32)
        per_residue[self.scored] = scores
        return ScoreResult(
            mode=self.mode,
            sum_log_likelihood=float(scores.sum()),
            mean_log_likelihood=float(scores.mean()),
            perplexity=float(np.exp(-scores.mean())),
            num_scored_residues=len(scores),
            per_residue=per_residue,
        )


def is_standard(token_ids: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which tokens are one of the 20 standard residues."""
    return (token_ids >= STANDARD_COLUMNS.start) & (token_ids < STANDARD_COLUMNS.stop)
