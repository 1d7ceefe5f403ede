"""What a scan's reads come to: sums of log-likelihoods, and from them the change by each base."""

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from primase_server.models.evo2.passes import Float32Array, Scores
from primase_server.models.evo2.tokens import BASE_IDS, Tokens


class ScanMode(Enum):
    """EXACT reads every window with every substitution; ONE_PASS the reference alone, so that what
    a substitution does to the bases behind it is not seen."""

    EXACT = "exact"
    ONE_PASS = "one_pass"


@dataclass(frozen=True, eq=False)
class ScanRows:
    """Rows of a region of `num_rows` bases, from `row_offset` on.

    deltas       [k, 4]: change of the sum of log-likelihoods by A, C, G and T in this place, 0 for
                 the base that is there; NaN in ONE_PASS where nothing stands before the base
    mean_delta   [k]: over the bases that are not there
    min_delta    [k]: the lowest of them
    """

    row_offset: int
    num_rows: int
    deltas: Float32Array
    mean_delta: Float32Array
    min_delta: Float32Array
    recipe: str

    @property
    def num_bytes(self) -> int:
        """Bytes of all of them."""
        return self.deltas.nbytes + self.mean_delta.nbytes + self.min_delta.nbytes


@dataclass(frozen=True, eq=False)
class Reading:
    """One strand of the window, and the region in it: [start, stop)."""

    token_ids: Tokens
    start: int
    stop: int
    is_reversed: bool

    def alternatives(self, position: int) -> list[int]:
        """Columns of the bases that are not there."""
        there = self.token_ids[position]
        return [column for column, base in enumerate(BASE_IDS) if base != there]


@dataclass(frozen=True)
class Suffix:
    """What a read of a scan adds to: base `column` in place of `position`.

    No column: the reference, whose tokens from `position` on are read. No position: nothing.
    `is_end`: the sums of `position` are complete with it.
    """

    position: int | None = None
    column: int | None = None
    is_end: bool = False


@dataclass(eq=False)
class Sums:
    """What the reads of one reading came to so far.

    reference: [n] log p of each token of the reference. substituted: [region, 4] sums from the
    substituted base on; in ONE_PASS log p of the bases. num_rows: of the region that are complete.
    """

    reading: Reading
    mode: ScanMode
    reference: NDArray[np.float64]
    substituted: NDArray[np.float64]
    num_rows: int = 0

    @classmethod
    def of(cls, reading: Reading, mode: ScanMode) -> "Sums":
        """Nothing is read yet."""
        num_rows = reading.stop - reading.start
        substituted = np.zeros((num_rows, len(BASE_IDS)))
        return cls(reading, mode, np.zeros(len(reading.token_ids)), substituted)

    def add(self, suffix: Suffix, scores: Scores) -> None:
        """Take what one read gave."""
        position = suffix.position
        if position is None:
            return
        if suffix.column is None:
            self.reference[position : position + len(scores.log_probs)] = scores.log_probs
        else:
            row = position - self.reading.start
            self.substituted[row, suffix.column] += scores.log_probs.sum(dtype=np.float64)
            self.num_rows += suffix.is_end
        if self.mode is ScanMode.ONE_PASS:
            bases = scores.bases[max(0, self.reading.start - position) :]
            self.substituted[self.num_rows : self.num_rows + len(bases)] = bases
            if position == self.reading.start == 0:
                self.substituted[0] = np.nan  # nothing predicts it
            self.num_rows += len(bases)

    def deltas(self, start: int, stop: int) -> NDArray[np.float64]:
        """[stop - start, 4], rows and bases of the plus strand: change by each base."""
        reading, reference = self.reading, self.reference
        if reading.is_reversed:
            num_rows = len(self.substituted)
            start, stop = num_rows - stop, num_rows - start
        if self.mode is ScanMode.EXACT:
            reference = reference[::-1].cumsum()[::-1]
        rows = slice(reading.start + start, reading.start + stop)
        deltas = self.substituted[start:stop] - reference[rows, None]
        # the complements of A, C, G and T are T, G, C and A
        return deltas[::-1, ::-1] if reading.is_reversed else deltas
