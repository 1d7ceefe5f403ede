"""Forward: values of named layers of one sequence, chunk by chunk."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from primase_server.errors import InvalidRequest
from primase_server.models.evo2.chunks import chunked, num_chunks
from primase_server.models.evo2.cost import FLOAT32_BYTES
from primase_server.models.evo2.layers import LOGITS, Float32Array, NamedLayer
from primase_server.models.evo2.passes import Evo2Pass, ReadOutput, TapOptions, require_output
from primase_server.models.evo2.pooling import Pooling
from primase_server.models.evo2.served import Evo2Served
from primase_server.models.evo2.strands import Strand
from primase_server.models.evo2.tokens import BASES, Tokens, num_other_characters, tokenize
from primase_server.models.parts import Part

PART_BYTES = 8 << 20
"""Rows are told as they come; a chunk is made smaller where so many bytes of them would be more."""

LEAST_CHUNK_TOKENS = 64


@dataclass(frozen=True, eq=False)
class LayerRows:
    """Some whole rows of layers: `values` by name, float32 [k, width], from `row_offset` on.

    num_rows: of the whole array; None where that is one vector, [width].
    """

    values: tuple[tuple[str, Float32Array], ...]
    row_offset: int
    num_rows: int | None


@dataclass(frozen=True, eq=False)
class ForwardResult:
    """The rows that were not told as parts, and how many characters are not A, C, G or T."""

    rows: LayerRows
    num_other_characters: int


@dataclass(frozen=True)
class ForwardOptions:
    """What Forward returns: `layers` in order, each once; see `Pooling` and `Strand`."""

    layers: tuple[NamedLayer, ...]
    pooling: Pooling = Pooling.NONE
    window: int = 0
    strand: Strand = Strand.FORWARD
    all_logits: bool = False

    @classmethod
    def build(
        cls,
        served: Evo2Served,
        layers: Sequence[str],
        pooling: Pooling = Pooling.NONE,
        window: int = 0,
        strand: Strand = Strand.FORWARD,
        *,
        all_logits: bool = False,
    ) -> "ForwardOptions":
        """Check everything. Names of either family, mixed; one that comes twice counts once.

        Raises UnknownLayer, and InvalidRequest for what does not go together.
        """
        names = dict.fromkeys(layers)
        found = [served.layers.find(name, f"layers[{list(layers).index(name)}]") for name in names]
        if strand is Strand.BOTH and pooling is not Pooling.MEAN:
            raise InvalidRequest.at("strand", "the mean of both strands needs MEAN pooling")
        if (window > 0) != (pooling is Pooling.WINDOW):
            needed = "must be at least 1 with" if window == 0 else "goes with nothing but"
            raise InvalidRequest.at("pooling_window_bases", f"{needed} WINDOW pooling")
        return cls(tuple(found), pooling, window, strand, all_logits)

    @property
    def taps(self) -> tuple[str, ...]:
        """What the model is asked for, each once."""
        return tuple(dict.fromkeys(tap for layer in self.layers for tap in layer.taps))

    @property
    def tap_options(self) -> TapOptions:
        """What is kept of it."""
        return TapOptions(self.pooling, self.window, self.all_logits)

    @property
    def row_bytes(self) -> int:
        """Bytes of one row of every layer, in float32."""
        return sum(map(self._width, self.layers)) * FLOAT32_BYTES

    def num_rows(self, num_bases: int) -> int:
        """Rows that are answered for a sequence."""
        if self.pooling is Pooling.NONE:
            return num_bases
        return -(-num_bases // self.window) if self.pooling is Pooling.WINDOW else 1

    def chunk_tokens(self, most: int) -> int:
        """Tokens read at a time, so that their rows are a part of fair size."""
        if self.pooling is not Pooling.NONE:
            return most
        return min(most, max(LEAST_CHUNK_TOKENS, PART_BYTES // self.row_bytes))

    def _width(self, layer: NamedLayer) -> int:
        cut = LOGITS in layer.taps and not self.all_logits
        return len(BASES) if cut else layer.width


@dataclass(eq=False)
class ForwardItem:
    """One sequence read for its layers.

    `readings` are the strands that are read, one after the other. Where it is `streamed`, rows are
    told as parts as they are complete; else all of them are in the result.
    """

    served: Evo2Served
    options: ForwardOptions
    readings: tuple[Tokens, ...]
    num_others: int
    is_streamed: bool
    chunk_tokens: int
    _num_outputs: int = 0
    _num_rows_told: int = 0

    @classmethod
    def build(
        cls,
        served: Evo2Served,
        sequence: str,
        options: ForwardOptions,
        *,
        is_streamed: bool = False,
    ) -> "ForwardItem":
        """Check the sequence. Raises InvalidSequence and SequenceTooLong."""
        token_ids = tokenize(sequence)
        served.check_length(len(token_ids))
        readings = options.strand.readings(token_ids)
        if options.pooling is Pooling.FIRST:
            # what comes behind the first base changes nothing of it
            readings = tuple(reading[:1] for reading in readings)
        return cls(
            served,
            options,
            readings,
            num_other_characters(token_ids),
            is_streamed,
            options.chunk_tokens(served.chunk_tokens),
        )

    @property
    def num_tokens(self) -> int:
        """Tokens over all passes."""
        return len(self.readings) * len(self.readings[0])

    @property
    def num_bytes(self) -> int:
        """Bytes of the tokens, and of the rows that are not told as parts."""
        num_rows = self.options.num_rows(len(self.readings[0]))
        if self.is_streamed:
            num_rows = min(num_rows, self.chunk_tokens)
        return self.num_tokens + num_rows * self.options.row_bytes

    @property
    def num_result_bytes(self) -> int:
        """Bytes of all rows, in float32."""
        return self.options.num_rows(len(self.readings[0])) * self.options.row_bytes

    @property
    def state_bytes(self) -> int:
        """Bytes held from the first pass to the last."""
        return self.served.state_bytes(len(self.readings[0]))

    def passes(self) -> Iterator[Evo2Pass]:
        """A pass for each chunk, strand after strand."""
        for reading in self.readings:
            for read in chunked(
                reading,
                self.chunk_tokens,
                taps=self.options.taps,
                tap_options=self.options.tap_options,
            ):
                yield self.served.pass_of(read)

    def part(self, output: object) -> Part | None:
        """The rows that are complete with a chunk; those of the last one are in the result."""
        self._num_outputs += 1
        if not self.is_streamed or len(self.readings) > 1:
            return None
        if self._num_outputs == num_chunks(len(self.readings[0]), self.chunk_tokens):
            return None
        rows = self._rows([require_output(output).reads[0]])
        if not len(rows.values[0][1]):
            return None
        self._num_rows_told += len(rows.values[0][1])
        return Part(rows, sum(values.nbytes for _, values in rows.values))

    def finish(self, outputs: Sequence[object]) -> ForwardResult:
        """The result, from the outputs that are not told yet."""
        reads = [require_output(output).reads[0] for output in outputs]
        return ForwardResult(self._rows(reads), self.num_others)

    def _rows(self, reads: Sequence[ReadOutput]) -> LayerRows:
        taps = {
            tap: np.concatenate([read.layers[tap] for read in reads]) for tap in self.options.taps
        }
        if len(self.readings) > 1:
            taps = {tap: rows.mean(axis=0, keepdims=True) for tap, rows in taps.items()}
        is_vector = self.options.pooling in (Pooling.MEAN, Pooling.FIRST, Pooling.LAST)
        return LayerRows(
            tuple((layer.name, layer.values(taps)) for layer in self.options.layers),
            self._num_rows_told,
            None if is_vector else self.options.num_rows(len(self.readings[0])),
        )
