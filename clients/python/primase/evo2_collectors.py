"""From the messages of one Evo 2 item to its value."""

from collections import defaultdict

from primase.evo2.v1.evo2_service_pb2 import (
    LayerSlice,
    SequenceScore,
    StreamForwardResponse,
    StreamScanVariantsResponse,
    StreamScoreSequencesResponse,
    StreamScoreVariantsResponse,
)
from primase.evo2_results import (
    DnaScore,
    DnaVariantScore,
    DnaVariantScores,
    Forward,
    ForwardRows,
    LayerRows,
    Scan,
)
from primase.results import Timings
from primase.tensors import SliceAssembler, SliceOrder, rows_of
from primase.type.v1.tensor_pb2 import TensorSlice


class ForwardCollector:
    """Puts the layers of one sequence together."""

    def __init__(self) -> None:
        self._layers: defaultdict[str, SliceAssembler] = defaultdict(SliceAssembler)

    def add(self, response: StreamForwardResponse, /) -> Forward | None:
        """The layers, with their last rows."""
        rows = response.rows
        for piece in rows.slices:
            self._layers[piece.layer].add(piece.slice)
        if not rows.last:
            return None
        layers = {name: assembler.array() for name, assembler in self._layers.items()}
        return Forward(layers, rows.num_other_characters, Timings.of(rows.timings))


class ForwardRowsCollector:
    """Hands rows on, and holds none of them."""

    def __init__(self) -> None:
        self._orders: defaultdict[str, SliceOrder] = defaultdict(SliceOrder)

    def add(self, response: StreamForwardResponse, /) -> ForwardRows:
        """The rows of this message."""
        rows = response.rows
        layers = tuple(map(self._checked, rows.slices))
        if rows.last:
            for order in self._orders.values():
                order.whole()
        return ForwardRows(layers, rows.last, rows.num_other_characters, Timings.of(rows.timings))

    def _checked(self, piece: LayerSlice) -> LayerRows:
        self._orders[piece.layer].take(piece.slice)
        shape = tuple(piece.slice.shape)
        return LayerRows(piece.layer, shape, piece.slice.row_offset, rows_of(piece.slice))


class DnaScoreCollector:
    """Puts the score of one sequence and its values per base together."""

    def __init__(self) -> None:
        names = ("per_base", "entropy", "alternative_ids", "alternative_log_probs")
        self._assemblers = {name: SliceAssembler() for name in names}

    def add(self, response: StreamScoreSequencesResponse, /) -> DnaScore | None:
        """The score, which is the last message."""
        for name, assembler in self._assemblers.items():
            _add(assembler, getattr(response.rows, name))
        return self._finished(response.score) if response.HasField("score") else None

    def _finished(self, score: SequenceScore) -> DnaScore:
        return DnaScore(
            sum_log_likelihood=score.sum_log_likelihood,
            mean_log_likelihood=score.mean_log_likelihood,
            perplexity=score.perplexity,
            num_scored_bases=score.num_scored_bases,
            num_other_characters=score.num_other_characters,
            timings=Timings.of(score.timings),
            **{
                name: assembler.array() if assembler.started else None
                for name, assembler in self._assemblers.items()
            },
        )


class DnaVariantsCollector:
    """Puts the scores of one query's variants together."""

    def __init__(self) -> None:
        self._scores: list[DnaVariantScore] = []
        self._recipe = ""

    def add(self, response: StreamScoreVariantsResponse, /) -> DnaVariantScores | None:
        """The scores, with the last of them. ValueError where one is missing or out of order."""
        for score in response.scores.scores:
            if score.variant_index != len(self._scores):
                raise ValueError(
                    f"the answer names variant {score.variant_index}, not {len(self._scores)}"
                )
            self._scores.append(
                DnaVariantScore(
                    score.delta_mean_log_likelihood,
                    score.delta_sum_log_likelihood,
                    score.reference_mean_log_likelihood,
                    score.variant_mean_log_likelihood,
                )
            )
        self._recipe = response.scores.recipe or self._recipe
        if not response.scores.last:
            return None
        timings = Timings.of(response.scores.timings)
        return DnaVariantScores(tuple(self._scores), self._recipe, timings)


class ScanCollector:
    """Puts the deltas of one region together."""

    def __init__(self) -> None:
        self._assemblers = {
            name: SliceAssembler() for name in ("deltas", "mean_delta", "min_delta")
        }
        self._recipe = ""

    def add(self, response: StreamScanVariantsResponse, /) -> Scan | None:
        """The deltas, with their last rows."""
        rows = response.rows
        for name, assembler in self._assemblers.items():
            _add(assembler, getattr(rows, name))
        self._recipe = rows.recipe or self._recipe
        if not rows.last:
            return None
        arrays = {name: assembler.array() for name, assembler in self._assemblers.items()}
        return Scan(**arrays, recipe=self._recipe, timings=Timings.of(rows.timings))


def _add(assembler: SliceAssembler, piece: TensorSlice) -> None:
    if piece.shape:  # else the message has none
        assembler.add(piece)
