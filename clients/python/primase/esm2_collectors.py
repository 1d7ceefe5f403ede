"""From the messages of one ESM-2 item to its value."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from numpy.typing import NDArray

from primase.esm2.v1 import esm2_service_pb2 as esm2_pb2
from primase.esm2.v1.esm2_service_pb2 import (
    EncodingSlice,
    StreamEncodeResponse,
    StreamScoreSequencesResponse,
    StreamScoreVariantsResponse,
)
from primase.esm2_results import Encoding, SequenceScore, VariantScore, VariantScores
from primase.names import MultiMutantName, ScoreModeName, VariantMethodName
from primase.results import Timings
from primase.tensors import SliceAssembler, to_array

ArrayT = TypeVar("ArrayT")

_Key = tuple[int, int, int]

# A newer server may answer with values that are not here.
_SCORE_MODES: dict[int, ScoreModeName] = {
    esm2_pb2.SCORE_MODE_ONE_PASS: "one_pass",
    esm2_pb2.SCORE_MODE_PSEUDO: "pseudo",
}
_METHODS: dict[int, VariantMethodName] = {
    esm2_pb2.VARIANT_METHOD_WILDTYPE_MARGINAL: "wildtype_marginal",
    esm2_pb2.VARIANT_METHOD_MASKED_MARGINAL: "masked_marginal",
}
_MULTI_MUTANTS: dict[int, MultiMutantName] = {
    esm2_pb2.MULTI_MUTANT_WILDTYPE_FILL: "wildtype_fill",
    esm2_pb2.MULTI_MUTANT_MASK_ALL: "mask_all",
}


class EncodingCollector(Generic[ArrayT]):
    """Puts the arrays of one encoding together; `finish` says in which form."""

    def __init__(self, finish: Callable[[SliceAssembler], ArrayT]) -> None:
        self._finish = finish
        self._assemblers: dict[_Key, SliceAssembler] = {}

    def add(self, response: StreamEncodeResponse, /) -> Encoding[ArrayT] | None:
        """The encoding, with its last rows."""
        for piece in response.rows.slices:
            self._assemblers.setdefault(_key(piece), SliceAssembler()).add(piece.slice)
        return self._encoding(response.rows) if response.rows.last else None

    def _encoding(self, rows: esm2_pb2.EncodingRows) -> Encoding[ArrayT]:
        return Encoding(
            num_residues=rows.num_residues,
            mean=self._by_layer(esm2_pb2.INCLUDE_MEAN),
            bos=self._by_layer(esm2_pb2.INCLUDE_BOS),
            per_token=self._by_layer(esm2_pb2.INCLUDE_PER_TOKEN),
            contacts=self._only(esm2_pb2.INCLUDE_CONTACTS),
            logits=self._only(esm2_pb2.INCLUDE_LOGITS),
            attentions=self._only(esm2_pb2.INCLUDE_ATTENTIONS),
            attention_maps=self._arrays(esm2_pb2.INCLUDE_ATTENTION_MAPS),
            timings=Timings.of(rows.timings),
        )

    def _by_layer(self, kind: int) -> dict[int, ArrayT]:
        return {layer: array for (layer, _), array in self._arrays(kind).items()}

    def _only(self, kind: int) -> ArrayT | None:
        return next(iter(self._arrays(kind).values()), None)

    def _arrays(self, kind: int) -> dict[tuple[int, int], ArrayT]:
        return {
            (layer, head): self._finish(assembler)
            for (its_kind, layer, head), assembler in self._assemblers.items()
            if its_kind == kind
        }


class ScoreCollector:
    """A score comes in one message."""

    def add(self, response: StreamScoreSequencesResponse, /) -> SequenceScore:
        """The score."""
        if not response.HasField("score"):
            raise ValueError("the answer holds neither a score nor an error")
        score = response.score
        return SequenceScore(
            mode=_SCORE_MODES.get(score.mode),
            sum_log_likelihood=score.sum_log_likelihood,
            mean_log_likelihood=score.mean_log_likelihood,
            perplexity=score.perplexity,
            num_scored_residues=score.num_scored_residues,
            per_residue=to_array(score.per_residue) if score.HasField("per_residue") else None,
            timings=Timings.of(score.timings),
        )


class VariantsCollector:
    """Puts the scores of one sequence's variants together."""

    def __init__(self) -> None:
        self._scores: list[VariantScore] = []
        self._scan = SliceAssembler()
        self._scan_residues = ""

    def add(self, response: StreamScoreVariantsResponse, /) -> VariantScores | None:
        """The scores, with the last of them."""
        rows = response.scores
        self._scores += (VariantScore(score.variant, score.score) for score in rows.scores)
        if rows.HasField("scan"):
            self._scan.add(rows.scan)
            self._scan_residues = rows.scan_residues or self._scan_residues
        return self._finished(rows) if rows.last else None

    def _finished(self, rows: esm2_pb2.VariantScores) -> VariantScores:
        return VariantScores(
            method=_METHODS.get(rows.method),
            multi_mutant=_MULTI_MUTANTS.get(rows.multi_mutant),
            scores=tuple(self._scores),
            scan=self._scanned(),
            scan_residues=self._scan_residues,
            timings=Timings.of(rows.timings),
        )

    def _scanned(self) -> NDArray[Any] | None:
        return self._scan.array() if self._scan.started else None


def _key(piece: EncodingSlice) -> _Key:
    return piece.kind, piece.layer, piece.head
