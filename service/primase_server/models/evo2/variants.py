"""Variants: how they change the log-likelihood of what they lie in."""

from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from primase_server.errors import InvalidRequest, Violation
from primase_server.models.evo2.bundles import Bundle, bundled
from primase_server.models.evo2.passes import Evo2Pass, require_output
from primase_server.models.evo2.served import Evo2Served
from primase_server.models.evo2.strands import Strand
from primase_server.models.evo2.tokens import Tokens, reverse_complement, tokenize
from primase_server.models.evo2.windows import (
    DEFAULT_WINDOW_BASES,
    Variant,
    Window,
    check_variants,
    window_around,
)
from primase_server.models.parts import Part

_VARIANT_BYTES = 512  # a variant, its windows and its scores, as Python objects
_SCORE_BYTES = 64

Key = Window | str
"""What is read: a window of the reference, or a whole sequence of a pair."""


@dataclass(frozen=True, slots=True)
class VariantScore:
    """Natural logarithms; of the variant less the reference, below 0 where it is less likely."""

    delta_mean: float
    delta_sum: float
    reference_mean: float
    variant_mean: float


@dataclass(frozen=True, eq=False)
class VariantScores:
    """Scores in order, the first of them of variant `first_index`; `recipe` says how in words."""

    first_index: int
    scores: tuple[VariantScore, ...]
    recipe: str


@dataclass(frozen=True)
class _Read:
    """Log-likelihood of one thing that was read, over its strands."""

    total: float
    mean: float


@dataclass(frozen=True, eq=False)
class VariantsOptions:
    """How every variant is scored. Raises InvalidRequest from `build`."""

    window_bases: int = DEFAULT_WINDOW_BASES
    strand: Strand = Strand.FORWARD

    @classmethod
    def build(
        cls,
        served: Evo2Served,
        window_bases: int = DEFAULT_WINDOW_BASES,
        strand: Strand = Strand.FORWARD,
    ) -> "VariantsOptions":
        """Raises InvalidRequest for a window longer than a sequence may be."""
        if window_bases > served.max_bases:
            raise InvalidRequest.at(
                "window_bases",
                f"{window_bases} bases; this model takes at most {served.max_bases}",
            )
        return cls(window_bases, strand)


@dataclass(eq=False)
class VariantsItem:
    """The variants of one reference, or pairs of whole sequences; what comes twice is read once.

    `pairs` are the keys of what is read without each variant and with it, in order. Scores are told
    as parts, as they are known.
    """

    served: Evo2Served
    options: VariantsOptions
    reference: Tokens
    pairs: Sequence[tuple[Key, Key]]
    _drawn: deque[Bundle[Key]] = field(default_factory=deque)
    _sums: defaultdict[Key, list[float]] = field(default_factory=lambda: defaultdict(list))
    _open_sum: float = 0.0
    _num_told: int = 0

    def __post_init__(self) -> None:
        # with many variants this takes a while, and is asked for where nothing may wait
        self.state_bytes  # noqa: B018  kept

    @classmethod
    def of_reference(
        cls,
        served: Evo2Served,
        reference: str,
        variants: Sequence[Variant],
        options: VariantsOptions,
    ) -> "VariantsItem":
        """Check everything: that each variant's `ref` is what the reference has above all.

        Raises InvalidSequence, and InvalidRequest naming each bad variant.
        """
        token_ids = tokenize(reference, "reference")
        check_variants(token_ids, variants, options.window_bases)
        if True in options.strand.is_reversed:
            reverse_complement(token_ids, "reference")
            for index, variant in enumerate(variants):
                if variant.alt:
                    field_path = f"variants[{index}].alt"
                    reverse_complement(tokenize(variant.alt, field_path), field_path)
        pairs = [_windows(variant, options.window_bases) for variant in variants]
        return cls(served, options, token_ids, pairs)

    @classmethod
    def of_pairs(
        cls, served: Evo2Served, pairs: Sequence[tuple[str, str]], options: VariantsOptions
    ) -> "VariantsItem":
        """Check everything. Raises InvalidSequence, SequenceTooLong and InvalidRequest."""
        for index, pair in enumerate(pairs):
            for name, sequence in zip(("ref", "alt"), pair, strict=True):
                field_path = f"pairs[{index}].{name}"
                token_ids = tokenize(sequence, field_path)
                served.check_length(len(token_ids), field_path)
                options.strand.readings(token_ids, field_path)
                if len(token_ids) < 2:
                    raise InvalidRequest(
                        Violation(field_path, "is one base, in which nothing can be scored")
                    )
        return cls(served, options, np.zeros(0, dtype=np.uint8), list(pairs))

    @property
    def recipe(self) -> str:
        """How the scores come about, in words."""
        half = self.options.window_bases // 2
        what = "whole sequences"
        if len(self.reference):
            what = (
                f"window of {self.options.window_bases} bases from {half} before the variant on, "
                "cut at the ends of the reference"
            )
        return (
            f"{what}; strand: {self.options.strand.value}; mean and sum of natural log p over the "
            f"bases after the first, no start token; {self.served.description}"
        )

    @cached_property
    def num_tokens(self) -> int:
        """Tokens over all passes."""
        return len(self.options.strand.is_reversed) * sum(self._lengths.values())

    @property
    def num_bytes(self) -> int:
        """Bytes of the reference or the pairs, and of the scores of what was read."""
        held = len(self.reference) or self.num_tokens
        return held + len(self.pairs) * _VARIANT_BYTES

    @cached_property
    def state_bytes(self) -> int:
        """Bytes held from the first pass to the last."""
        counts = Counter(self._lengths.values())
        num_readings = len(self.options.strand.is_reversed)
        states = {length: self.served.state_bytes(length) for length in counts}
        all_bytes = sum(num_readings * counts[length] * states[length] for length in counts)
        return max(*states.values(), min(all_bytes, self.served.bundled_state_bytes))

    def passes(self) -> Iterator[Evo2Pass]:
        """Reads of everything once, in order of the variants."""
        for bundle in bundled(self.served, self._sequences()):
            self._drawn.append(bundle)
            yield self.served.pass_of(*bundle.reads)

    def part(self, output: object) -> Part | None:
        """The scores that are known with this pass; those of the last one are in the result."""
        bundle = self._drawn.popleft()
        for key, read in zip(bundle.keys, require_output(output).reads, strict=True):
            if read.scores is None:
                raise TypeError("variants are scored with scores")
            self._open_sum += float(read.scores.log_probs.sum(dtype=np.float64))
            if bundle.is_end:
                self._sums[key].append(self._open_sum)
                self._open_sum = 0.0
        known = self._known()
        if self._num_told + len(known) == len(self.pairs):
            return None
        told = VariantScores(self._num_told, known, self.recipe)
        self._num_told += len(known)
        return Part(told, len(known) * _SCORE_BYTES)

    def finish(self, outputs: Sequence[object]) -> VariantScores:
        """The scores that are not told yet."""
        return VariantScores(self._num_told, self._known(), self.recipe)

    @cached_property
    def _lengths(self) -> dict[Key, int]:
        """Bases of everything that is read, in order."""
        num_bases = len(self.reference)
        return {
            key: len(key) if isinstance(key, str) else key.num_bases(num_bases)
            for pair in self.pairs
            for key in pair
        }

    def _sequences(self) -> Iterator[tuple[Key, Tokens]]:
        for key in self._lengths:
            token_ids = tokenize(key) if isinstance(key, str) else key.bases(self.reference)
            for reading in self.options.strand.readings(token_ids):
                yield key, reading

    def _known(self) -> tuple[VariantScore, ...]:
        known: list[VariantScore] = []
        for index in range(self._num_told, len(self.pairs)):
            reference, variant = map(self._read, self.pairs[index])
            if reference is None or variant is None:
                break
            known.append(
                VariantScore(
                    delta_mean=variant.mean - reference.mean,
                    delta_sum=variant.total - reference.total,
                    reference_mean=reference.mean,
                    variant_mean=variant.mean,
                )
            )
        return tuple(known)

    def _read(self, key: Key) -> _Read | None:
        sums = self._sums.get(key, [])
        if len(sums) < len(self.options.strand.is_reversed):
            return None
        total = sum(sums) / len(sums)
        return _Read(total, total / (self._lengths[key] - 1))


def _windows(variant: Variant, window_bases: int) -> tuple[Window, Window]:
    window = window_around(variant.position, window_bases)
    if variant.ref == variant.alt:
        return window, window
    return window, Window(window.start, window.stop, variant)
