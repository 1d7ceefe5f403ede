"""Scan: every substitution of every base of a region."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from primase_server.errors import InvalidRequest, SequenceTooLong
from primase_server.models.evo2.chunks import chunked
from primase_server.models.evo2.passes import (
    Carry,
    Evo2Pass,
    Read,
    ScoreOptions,
    require_output,
)
from primase_server.models.evo2.scan_sums import Reading, ScanMode, ScanRows, Suffix, Sums
from primase_server.models.evo2.served import Evo2Served
from primase_server.models.evo2.strands import Strand
from primase_server.models.evo2.tokens import BASE_IDS, Tokens, reverse_complement, tokenize
from primase_server.models.evo2.windows import DEFAULT_WINDOW_BASES
from primase_server.models.parts import Part

_NUMBER_BYTES = 4
_ROW_BYTES = (len(BASE_IDS) + 2) * _NUMBER_BYTES


@dataclass(frozen=True)
class ScanOptions:
    """How a region is scanned; `window_bases` are read for all of it."""

    mode: ScanMode = ScanMode.EXACT
    window_bases: int = DEFAULT_WINDOW_BASES
    strand: Strand = Strand.FORWARD


@dataclass(eq=False)
class ScanItem:
    """One region to scan. Where it is read forward its rows are told as parts, as they are known.

    EXACT keeps the state before each base, and reads from there on with each other base in its
    place: the bases before it are the same.
    """

    served: Evo2Served
    options: ScanOptions
    region: Tokens
    readings: tuple[Reading, ...]
    _sums: tuple[Sums, ...]
    _drawn: deque[tuple[Sums, tuple[Suffix, ...]]] = field(default_factory=deque)
    _num_told: int = 0

    @classmethod
    def build(
        cls,
        served: Evo2Served,
        reference: str,
        start: int = 0,
        end: int | None = None,
        options: ScanOptions = ScanOptions(),
    ) -> "ScanItem":
        """Check everything. Raises InvalidSequence, SequenceTooLong and InvalidRequest."""
        token_ids = tokenize(reference, "reference")
        if end is None:
            end = len(token_ids)
        if end > len(token_ids):
            raise InvalidRequest.at("end", f"{end} is past the reference's {len(token_ids)} bases")
        if start >= end:
            raise InvalidRequest.at("start", f"{start} leaves no base before the end, {end}")
        if len(token_ids) == 1:
            raise InvalidRequest.at("reference", "is one base, in which nothing can be scored")
        first, last = _window(len(token_ids), start, end, options.window_bases)
        if last - first > served.max_bases:
            raise SequenceTooLong.at(
                "end" if end - start > served.max_bases else "reference",
                f"{last - first} bases are read; this model takes at most {served.max_bases}",
            )
        window = token_ids[first:last]
        readings = []
        for is_reversed in options.strand.is_reversed:
            if is_reversed:
                reverse = reverse_complement(window, "reference")
                readings.append(Reading(reverse, last - end, last - start, is_reversed))
            else:
                readings.append(Reading(window, start - first, end - first, is_reversed))
        sums = tuple(Sums.of(reading, options.mode) for reading in readings)
        return cls(served, options, token_ids[start:end], tuple(readings), sums)

    @property
    def num_rows(self) -> int:
        """Bases of the region."""
        return len(self.region)

    @property
    def recipe(self) -> str:
        """How the deltas come about, in words."""
        what = {
            ScanMode.EXACT: "each substitution read with all bases behind it",
            ScanMode.ONE_PASS: "one pass: log p of the other base less that of the base there",
        }[self.options.mode]
        return (
            f"{self.options.mode.value}, {what}; one window of {len(self.readings[0].token_ids)} "
            f"bases for the region; strand: {self.options.strand.value}; change of the sum of "
            f"natural log p, no start token; {self.served.description}"
        )

    @property
    def num_tokens(self) -> int:
        """Tokens over all passes."""
        return sum(map(self._num_tokens_of, self.readings))

    @property
    def num_bytes(self) -> int:
        """Bytes of the window, of what is added up, and of the rows."""
        window_bytes = len(self.readings[0].token_ids) * (1 + np.float64().nbytes)
        sums_bytes = self.num_rows * len(BASE_IDS) * np.float64().nbytes
        return len(self.readings) * (window_bytes + sums_bytes) + self.num_rows * _ROW_BYTES

    @property
    def state_bytes(self) -> int:
        """Bytes held from the first pass to the last."""
        num_states = 1 + len(BASE_IDS) if self.options.mode is ScanMode.EXACT else 1
        return num_states * self.served.state_bytes(len(self.readings[0].token_ids))

    def passes(self) -> Iterator[Evo2Pass]:
        """Strand after strand; of EXACT the reference first, then a base at a time."""
        for sums in self._sums:
            make = self._exact if self.options.mode is ScanMode.EXACT else self._one_pass
            for reads in make(sums.reading):
                self._drawn.append((sums, tuple(suffix for suffix, _ in reads)))
                yield self.served.pass_of(*(read for _, read in reads))

    def part(self, output: object) -> Part | None:
        """The rows that are known with this pass; those of the last one are in the result."""
        sums, suffixes = self._drawn.popleft()
        for suffix, read in zip(suffixes, require_output(output).reads, strict=True):
            if read.scores is None:
                raise TypeError("a region is scanned with scores")
            sums.add(suffix, read.scores)
        num_known = sums.num_rows if self.options.strand is Strand.FORWARD else 0
        if num_known == self.num_rows:
            return None
        rows = self._rows(num_known)
        self._num_told = num_known
        return Part(rows, rows.num_bytes)

    def finish(self, outputs: Sequence[object]) -> ScanRows:
        """The rows that are not told yet."""
        return self._rows(self.num_rows)

    def _num_tokens_of(self, reading: Reading) -> int:
        if self.options.mode is ScanMode.ONE_PASS:
            return reading.stop
        num_tokens = len(reading.token_ids)
        substituted = sum(
            len(reading.alternatives(position)) * (num_tokens - position)
            for position in range(reading.start, reading.stop)
        )
        return num_tokens + reading.stop - 1 + substituted

    def _one_pass(self, reading: Reading) -> Iterator[list[tuple[Suffix, Read]]]:
        # what is behind the region changes nothing of it
        score = ScoreOptions(log_probs=True, bases=True)
        position = 0
        token_ids = reading.token_ids[: reading.stop]
        for read in chunked(token_ids, self.served.chunk_tokens, score=score):
            yield [(Suffix(position), read)]
            position += len(read.token_ids)

    def _exact(self, reading: Reading) -> Iterator[list[tuple[Suffix, Read]]]:
        score = ScoreOptions(log_probs=True)
        token_ids, chunk_tokens = reading.token_ids, self.served.chunk_tokens
        position = 0
        for read in chunked(token_ids, chunk_tokens, score=score):
            yield [(Suffix(position), read)]
            position += len(read.token_ids)
        prefix = Carry()
        before = token_ids[: reading.start]
        for read in chunked(before, chunk_tokens, carry=prefix, score=score, is_whole=False):
            yield [(Suffix(), read)]
        for position in range(reading.start, reading.stop):
            yield from self._substituted(reading, prefix, position)

    def _substituted(
        self, reading: Reading, prefix: Carry, position: int
    ) -> Iterator[list[tuple[Suffix, Read]]]:
        """Passes of one base's substitutions, side by side; the prefix moves on with the first."""
        score = ScoreOptions(log_probs=True)
        columns = reading.alternatives(position)
        chunk_tokens = max(1, (self.served.chunk_tokens - 1) // len(columns))
        chunks = []
        for column in columns:
            suffix = reading.token_ids[position:].copy()
            suffix[0] = BASE_IDS[column]
            carry = Carry(parent=prefix)
            chunks.append(
                chunked(suffix, chunk_tokens, carry=carry, score=score, num_before=position)
            )
        is_first = True
        for reads in zip(*chunks, strict=True):
            substituted = [
                (Suffix(position, column, read.is_last and column == columns[-1]), read)
                for column, read in zip(columns, reads, strict=True)
            ]
            if is_first and position + 1 < reading.stop:
                base = reading.token_ids[position : position + 1]
                moved = Read(prefix, base, score=score, start=position)
                substituted.append((Suffix(), moved))
            is_first = False
            yield substituted

    def _rows(self, stop: int) -> ScanRows:
        start = self._num_told
        deltas = np.mean([sums.deltas(start, stop) for sums in self._sums], axis=0)
        there = self.region[start:stop, None] == np.array(BASE_IDS)
        deltas[there] = 0
        return ScanRows(
            start,
            self.num_rows,
            deltas.astype(np.float32),
            (deltas.sum(axis=1) / (~there).sum(axis=1)).astype(np.float32),
            np.where(there, np.inf, deltas).min(axis=1).astype(np.float32),
            self.recipe,
        )


def _window(num_bases: int, start: int, end: int, window_bases: int) -> tuple[int, int]:
    """[first, last) of the window of a region: centred on it and never shorter, cut at the ends."""
    window_bases = max(window_bases, end - start)
    first = (start + end) // 2 - window_bases // 2
    return max(0, first), min(num_bases, first + window_bases)
