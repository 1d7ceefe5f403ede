"""Predict: the residues that may stand behind each `<mask>` of a sequence."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from primase_server.errors import InvalidRequest, InvalidSequence
from primase_server.models.esm2.alphabet import (
    MASK,
    MASK_ID,
    STANDARD_20,
    residue_tokens,
    tokenize,
)
from primase_server.models.esm2.cost import result_bytes
from primase_server.models.esm2.passes import Esm2Pass, Float32Array, require_outputs
from primase_server.models.esm2.probabilities import Float64Array, standard_log_probabilities
from primase_server.models.esm2.served import Esm2Served

DEFAULT_NUM_CANDIDATES = 5


@dataclass(frozen=True)
class Candidate:
    """A residue and its probability among the 20 standard ones."""

    residue: str
    probability: float


@dataclass(frozen=True)
class MaskPrediction:
    """The most likely residues, likeliest first, at a 0-based position counted in tokens."""

    position: int
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, eq=False)
class PredictResult:
    """Masks by position, the sequence as tokens, and raw logits [L, 33] of every position."""

    masks: tuple[MaskPrediction, ...]
    sequence_tokens: tuple[str, ...]
    logits: Float32Array


@dataclass(frozen=True, eq=False)
class PredictItem:
    """One masked sequence, in one pass."""

    work: Esm2Pass
    num_result_bytes: int
    num_candidates: int

    @classmethod
    def build(
        cls, served: Esm2Served, sequence: str, num_candidates: int = DEFAULT_NUM_CANDIDATES
    ) -> "PredictItem":
        """Check everything; raises InvalidSequence, also for a sequence with no mask,
        InvalidRequest, SequenceTooLong, OutputUnavailable."""
        token_ids = tokenize(sequence)
        if MASK_ID not in token_ids:
            raise InvalidSequence.at("sequence", f"has no {MASK}; at least one is needed")
        if not 0 <= num_candidates <= len(STANDARD_20):
            raise InvalidRequest.at(
                "num_candidates", f"{num_candidates} is not in 0 to {len(STANDARD_20)}"
            )
        served.check_length(len(token_ids) - 2)
        served.require(logits=True)
        work = served.sized(Esm2Pass(token_ids, logit_rows=None))
        return cls(work, result_bytes(served.config, work), num_candidates)

    @property
    def num_masks(self) -> int:
        """Masks to predict."""
        return int(np.count_nonzero(self.work.token_ids == MASK_ID))

    @property
    def num_tokens(self) -> int:
        """Tokens of its pass."""
        return self.work.num_tokens

    @property
    def num_bytes(self) -> int:
        """Bytes of the token ids and of the result."""
        return self.work.token_ids.nbytes + self.num_result_bytes

    def passes(self) -> Iterator[Esm2Pass]:
        """The one pass."""
        yield self.work

    def finish(self, outputs: Sequence[object]) -> PredictResult:
        """The result, from the output of the pass."""
        [output] = require_outputs(outputs)
        if output.logits is None:
            raise TypeError("masked prediction finishes with logits")
        positions = np.flatnonzero(self.work.token_ids[1:-1] == MASK_ID)
        probabilities = np.exp(standard_log_probabilities(output.logits[positions]))
        return PredictResult(
            masks=tuple(
                MaskPrediction(int(position), _likeliest(row, self.num_candidates))
                for position, row in zip(positions, probabilities, strict=True)
            ),
            sequence_tokens=residue_tokens(self.work.token_ids),
            logits=output.logits,
        )


def _likeliest(probabilities: Float64Array, count: int) -> tuple[Candidate, ...]:
    order = np.argsort(-probabilities, kind="stable")[:count]
    return tuple(Candidate(STANDARD_20[i], float(probabilities[i])) for i in order)
