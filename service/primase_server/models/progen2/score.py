"""Score: the log-likelihood of a whole protein, read from either end.

As upstream's `likelihood.py` has it: each residue counts, also the first one behind a terminal; the
terminals do not, and columns other than those of the 25 letters are left out before probabilities
are made. The cross-entropy that upstream calls `ce` is over all columns and has the last terminal.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from primase_server.errors import InvalidSequence
from primase_server.models.progen2.passes import (
    Float32Array,
    Int64Array,
    ProGen2Pass,
    require_outputs,
)
from primase_server.models.progen2.served import ProGen2Served
from primase_server.models.progen2.tokens import C_TERMINUS_ID, N_TERMINUS_ID, residue_ids

FLOAT32_BYTES = 4
INT64_BYTES = 8
DIRECTIONS = 2


@dataclass(frozen=True, eq=False)
class ProteinScore:
    """Natural logarithms, of residues among the 25 letters.

    forward_sum: read from N to C; reverse_sum: from C to N. token_cross_entropy: from N to C, among
    all tokens, the last terminal counted. per_residue: [2, L] where asked for, forward then
    reverse, column i of residue i.
    """

    forward_sum: float
    reverse_sum: float
    token_cross_entropy: float
    num_residues: int
    per_residue: Float32Array | None = None

    @property
    def sum_log_likelihood(self) -> float:
        """Mean of both directions."""
        return (self.forward_sum + self.reverse_sum) / 2

    @property
    def mean_log_likelihood(self) -> float:
        """Of a residue."""
        return self.sum_log_likelihood / self.num_residues

    @property
    def residue_perplexity(self) -> float:
        """exp(-mean), over the letters alone."""
        return _exp(-self.mean_log_likelihood)

    @property
    def token_perplexity(self) -> float:
        """exp of the cross-entropy."""
        return _exp(self.token_cross_entropy)


@dataclass(frozen=True, eq=False)
class ScoreItem:
    """One protein to score, in two passes of equal length."""

    served: ProGen2Served
    residue_ids: Int64Array
    per_residue: bool

    @classmethod
    def build(
        cls, served: ProGen2Served, sequence: str, *, per_residue: bool = False
    ) -> "ScoreItem":
        """Check the sequence. Raises InvalidSequence, also where it is empty, and
        SequenceTooLong."""
        if not sequence:
            raise InvalidSequence.at("sequence", "must not be empty")
        served.check_length(len(sequence))
        return cls.of_ids(served, residue_ids(sequence), per_residue=per_residue)

    @classmethod
    def of_ids(
        cls, served: ProGen2Served, ids: Sequence[int], *, per_residue: bool = False
    ) -> "ScoreItem":
        """Of residues known to be good, at least one, from N to C."""
        return cls(served, np.array(ids, dtype=np.int64), per_residue)

    @classmethod
    def of_length(cls, served: ProGen2Served, num_residues: int) -> "ScoreItem":
        """Any protein of that length, to tell what one costs: it takes no room itself."""
        return cls(served, np.broadcast_to(np.int64(N_TERMINUS_ID), num_residues), False)

    @property
    def num_residues(self) -> int:
        """Residues scored: all."""
        return len(self.residue_ids)

    @property
    def num_tokens(self) -> int:
        """Tokens over both passes."""
        return DIRECTIONS * (self.num_residues + 1)

    @property
    def num_bytes(self) -> int:
        """Bytes of the residues, and of the outputs that wait for the other and become the
        result."""
        return self.num_residues * (INT64_BYTES + DIRECTIONS * FLOAT32_BYTES)

    @property
    def num_result_bytes(self) -> int:
        """Bytes of the values per residue."""
        return self.per_residue * DIRECTIONS * self.num_residues * FLOAT32_BYTES

    def passes(self) -> Iterator[ProGen2Pass]:
        """From N to C, then from C to N."""
        yield self._pass(N_TERMINUS_ID, self.residue_ids, C_TERMINUS_ID)
        yield self._pass(C_TERMINUS_ID, self.residue_ids[::-1], N_TERMINUS_ID)

    def finish(self, outputs: Sequence[object]) -> ProteinScore:
        """The score, from the outputs of both."""
        forward, reverse = require_outputs(outputs)
        log_probs = np.stack([forward.residue_log_probs, reverse.residue_log_probs[::-1]])
        sums = log_probs.sum(axis=1, dtype=np.float64)
        return ProteinScore(
            forward_sum=float(sums[0]),
            reverse_sum=float(sums[1]),
            token_cross_entropy=forward.cross_entropy,
            num_residues=self.num_residues,
            per_residue=log_probs if self.per_residue else None,
        )

    def _pass(self, first: int, residues: Int64Array, last: int) -> ProGen2Pass:
        return self.served.sized(ProGen2Pass(np.concatenate([[first], residues, [last]])))


def _exp(value: float) -> float:
    with np.errstate(over="ignore"):
        return float(np.exp(value))
