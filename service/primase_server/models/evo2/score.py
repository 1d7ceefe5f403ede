"""Score: the log-likelihood of one sequence, each base by those before it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from primase_server.errors import InvalidRequest, InvalidSequence
from primase_server.models.evo2.chunks import chunked, num_chunks
from primase_server.models.evo2.passes import (
    Evo2Pass,
    Float32Array,
    Int32Array,
    ScoreOptions,
    Scores,
    require_output,
)
from primase_server.models.evo2.served import Evo2Served
from primase_server.models.evo2.strands import Strand
from primase_server.models.evo2.tokens import BOS_ID, Tokens, num_other_characters, tokenize
from primase_server.models.parts import Part

_NUMBER_BYTES = 4


@dataclass(frozen=True, eq=False)
class BaseScores:
    """Values of consecutive bases of the sequence as it was given, from base `row_offset` on.

    log_probs, entropies: float32 [k], 0 where not scored. alternative_ids int32 and
    alternative_log_probs float32: [k, alternatives] of the strand read, most likely first.
    """

    row_offset: int
    log_probs: Float32Array
    entropies: Float32Array
    alternative_ids: Int32Array
    alternative_log_probs: Float32Array

    @property
    def num_alternatives(self) -> int:
        """Alternatives of each base."""
        return int(self.alternative_ids.shape[1])

    @property
    def num_bytes(self) -> int:
        """Bytes of all of them."""
        alternatives = self.alternative_ids.nbytes + self.alternative_log_probs.nbytes
        return self.log_probs.nbytes + self.entropies.nbytes + alternatives


_NO_NUMBERS = np.zeros(0, dtype=np.float32)
_NO_BASES = BaseScores(
    0, _NO_NUMBERS, _NO_NUMBERS, np.zeros((0, 0), dtype=np.int32), _NO_NUMBERS.reshape(0, 0)
)


@dataclass(frozen=True, eq=False)
class ScoreResult:
    """Natural logarithms over all 512 tokens. Of two strands, the means of their sums and means.

    num_scored_bases: of one strand. per_base: None where not asked for; without what was told as
    parts.
    """

    sum_log_likelihood: float
    mean_log_likelihood: float
    perplexity: float
    num_scored_bases: int
    num_other_characters: int
    per_base: BaseScores | None


@dataclass(frozen=True)
class ScoreItemOptions:
    """What is said of every base besides the sums, and how the sequence is read."""

    strand: Strand = Strand.FORWARD
    prepend_bos: bool = False
    per_base: bool = False
    num_alternatives: int = 0

    @classmethod
    def build(
        cls,
        strand: Strand = Strand.FORWARD,
        *,
        prepend_bos: bool = False,
        per_base: bool = False,
        num_alternatives: int = 0,
    ) -> "ScoreItemOptions":
        """Raises InvalidRequest for what does not go together."""
        if num_alternatives and not per_base:
            raise InvalidRequest.at("num_alternatives", "needs include_per_base")
        if num_alternatives and strand is Strand.BOTH:
            raise InvalidRequest.at(
                "num_alternatives", "there are none of both strands: ask for one of them"
            )
        return cls(strand, prepend_bos, per_base, num_alternatives)

    @property
    def score(self) -> ScoreOptions:
        """What the passes compute."""
        return ScoreOptions(
            log_probs=True, entropies=self.per_base, num_alternatives=self.num_alternatives
        )

    @property
    def base_bytes(self) -> int:
        """Bytes of the values of one base."""
        return self.per_base * (2 + 2 * self.num_alternatives) * _NUMBER_BYTES


@dataclass(eq=False)
class ScoreItem:
    """One sequence to score.

    Where it is `streamed` and the strand is the given one, values per base are told as parts;
    else all of them are in the result, since the other strand ends at base 0.
    """

    served: Evo2Served
    options: ScoreItemOptions
    readings: tuple[Tokens, ...]
    num_others: int
    is_streamed: bool
    _sum: float = 0.0
    _num_outputs: int = 0
    _num_tokens_told: int = 0

    @classmethod
    def build(
        cls,
        served: Evo2Served,
        sequence: str,
        options: ScoreItemOptions,
        *,
        is_streamed: bool = False,
    ) -> "ScoreItem":
        """Check the sequence. Raises InvalidSequence, also where nothing could be scored, and
        SequenceTooLong."""
        token_ids = tokenize(sequence)
        served.check_length(len(token_ids))
        if len(token_ids) == 1 and not options.prepend_bos:
            raise InvalidSequence.at(
                "sequence",
                "is one base, which nothing before it predicts: there is nothing to score "
                "unless prepend_bos is set",
            )
        readings = options.strand.readings(token_ids)
        if options.prepend_bos:
            bos = np.array([BOS_ID], dtype=np.uint8)
            readings = tuple(np.concatenate([bos, reading]) for reading in readings)
        others = num_other_characters(token_ids)
        return cls(served, options, readings, others, is_streamed)

    @property
    def num_bases(self) -> int:
        """Bases of the sequence."""
        return len(self.readings[0]) - self.options.prepend_bos

    @property
    def num_scored_bases(self) -> int:
        """Bases of one strand that something predicts."""
        return len(self.readings[0]) - 1

    @property
    def num_tokens(self) -> int:
        """Tokens over all passes."""
        return len(self.readings) * len(self.readings[0])

    @property
    def num_bytes(self) -> int:
        """Bytes of the tokens, and of the values that are not told as parts."""
        held = self.num_tokens
        if self._tells_parts:
            held = min(held, self.served.chunk_tokens)
        return self.num_tokens + held * (_NUMBER_BYTES + self.options.base_bytes)

    @property
    def num_result_bytes(self) -> int:
        """Bytes of all values per base."""
        return self.num_bases * self.options.base_bytes

    @property
    def state_bytes(self) -> int:
        """Bytes held from the first pass to the last."""
        return self.served.state_bytes(len(self.readings[0]))

    def passes(self) -> Iterator[Evo2Pass]:
        """A pass for each chunk, strand after strand."""
        for reading in self.readings:
            for read in chunked(reading, self.served.chunk_tokens, score=self.options.score):
                yield self.served.pass_of(read)

    def part(self, output: object) -> Part | None:
        """Adds up, and tells the values of a chunk; those of the last one are in the result."""
        scores = require_output(output).reads[0].scores
        if scores is None:
            raise TypeError("a sequence is scored with scores")
        self._sum += float(scores.log_probs.sum(dtype=np.float64))
        self._num_outputs += 1
        if not self.options.per_base:
            return Part(_NO_BASES, 0)
        if not self._tells_parts or self._num_outputs == self._num_chunks:
            return None
        rows = self._rows([scores])
        self._num_tokens_told += len(scores.log_probs)
        return Part(rows, rows.num_bytes)

    def finish(self, outputs: Sequence[object]) -> ScoreResult:
        """The score, and the values per base that are not told yet."""
        total = self._sum / len(self.readings)
        mean = total / self.num_scored_bases
        with np.errstate(over="ignore"):
            perplexity = float(np.exp(-mean))
        scores = [require_output(output).reads[0].scores for output in outputs]
        return ScoreResult(
            sum_log_likelihood=total,
            mean_log_likelihood=mean,
            perplexity=perplexity,
            num_scored_bases=self.num_scored_bases,
            num_other_characters=self.num_others,
            per_base=self._all_rows([s for s in scores if s is not None]),
        )

    @property
    def _tells_parts(self) -> bool:
        return self.is_streamed and self.options.strand is Strand.FORWARD

    @property
    def _num_chunks(self) -> int:
        return num_chunks(len(self.readings[0]), self.served.chunk_tokens)

    def _all_rows(self, scores: Sequence[Scores]) -> BaseScores | None:
        if not self.options.per_base:
            return None
        strand = self.options.strand
        if strand is Strand.BOTH:
            half = self._num_chunks
            forward, reverse = self._rows(scores[:half]), _flipped(self._rows(scores[half:]))
            return _mean(forward, reverse, skip=1 - self.options.prepend_bos)
        rows = self._rows(scores)
        return _flipped(rows) if strand is Strand.REVERSE_COMPLEMENT else rows

    def _rows(self, scores: Sequence[Scores]) -> BaseScores:
        """Chunks that follow one another, as values of bases: a start token has none."""
        num_told, num_special = self._num_tokens_told, int(self.options.prepend_bos)
        skip = num_special if num_told == 0 else 0
        return BaseScores(
            num_told - num_special + skip,
            np.concatenate([s.log_probs for s in scores])[skip:],
            np.concatenate([s.entropies for s in scores])[skip:],
            np.concatenate([s.alternative_ids for s in scores])[skip:],
            np.concatenate([s.alternative_log_probs for s in scores])[skip:],
        )


def _flipped(rows: BaseScores) -> BaseScores:
    """Values of the reverse complement, in order of the bases as given."""
    return BaseScores(
        rows.row_offset,
        rows.log_probs[::-1],
        rows.entropies[::-1],
        rows.alternative_ids[::-1],
        rows.alternative_log_probs[::-1],
    )


def _mean(forward: BaseScores, reverse: BaseScores, skip: int) -> BaseScores:
    """Of both strands; 0 for the `skip` bases at either end that only one of them scores."""

    def mean(one: NDArray[np.float32], other: NDArray[np.float32]) -> Float32Array:
        values = (one + other) / np.float32(2)
        values[:skip] = values[len(values) - skip :] = 0
        return values

    return BaseScores(
        forward.row_offset,
        mean(forward.log_probs, reverse.log_probs),
        mean(forward.entropies, reverse.entropies),
        forward.alternative_ids,
        forward.alternative_log_probs,
    )
