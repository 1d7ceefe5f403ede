"""The calls of ESM-2 as exchanges: what is sent for what a caller gave."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from numpy.typing import NDArray

from primase.esm2.v1.esm2_service_pb2 import (
    AttentionHead,
    EncodeItem,
    EncodeOptions,
    Include,
    MultiMutant,
    PredictItem,
    PredictRequest,
    ScoreMode,
    StreamEncodeRequest,
    StreamEncodeResponse,
    StreamScoreSequencesRequest,
    StreamScoreSequencesResponse,
    StreamScoreVariantsRequest,
    StreamScoreVariantsResponse,
    VariantMethod,
    VariantsItem,
)
from primase.esm2_collectors import EncodingCollector, ScoreCollector, VariantsCollector
from primase.esm2_results import Encoding, SequenceScore, VariantScores
from primase.predict_exchange import PredictExchange
from primase.sequences import Sequences, VariantQueries, VariantQuery, named_sequences
from primase.stream_exchange import MAX_STREAM_ITEMS, StreamExchange
from primase.tensors import SliceAssembler
from primase.type.v1.tensor_pb2 import DataType

ArrayT = TypeVar("ArrayT")
Array = NDArray[Any]

EncodeExchange = StreamExchange[
    EncodeItem, StreamEncodeRequest, StreamEncodeResponse, Encoding[ArrayT]
]
ScoreExchange = StreamExchange[
    EncodeItem, StreamScoreSequencesRequest, StreamScoreSequencesResponse, SequenceScore
]
VariantsExchange = StreamExchange[
    VariantsItem, StreamScoreVariantsRequest, StreamScoreVariantsResponse, VariantScores
]

MAX_UNARY_ITEMS = 1024  # of the contract
# Answers of one message are kept below 2 MiB, half of what gRPC reads by default.
ANSWER_BYTES_PER_REQUEST_BYTE = 8
CANDIDATE_BYTES = 16
LOGITS_ROW_BYTES = 4 * 33


def encode_options(
    include: Iterable[str],
    repr_layers: Iterable[int],
    attention_heads: Iterable[tuple[int, int]],
    dtype: str,
) -> EncodeOptions:
    """What to return of each sequence. ValueError for a name that the contract does not have."""
    return EncodeOptions(
        repr_layers=repr_layers,
        include=[Include.Value(f"INCLUDE_{name.upper()}") for name in include],
        attention_heads=[AttentionHead(layer=layer, head=head) for layer, head in attention_heads],
        output_data_type=DataType.Value(f"DATA_TYPE_{dtype.upper()}"),
    )


def encode(
    model: str,
    sequences: Sequences,
    options: EncodeOptions,
    finish: Callable[[SliceAssembler], ArrayT],
) -> EncodeExchange[ArrayT]:
    """StreamEncode over any number of sequences."""

    def make_request(items: Sequence[EncodeItem]) -> StreamEncodeRequest:
        return StreamEncodeRequest(model=model, items=items, options=options)

    return StreamExchange(
        _encode_items(sequences), make_request, MAX_STREAM_ITEMS, lambda: EncodingCollector(finish)
    )


def predict(
    model: str, sequences: Sequences, num_candidates: int, include_logits: bool
) -> PredictExchange:
    """Predict over any number of sequences."""
    items = ((id_, PredictItem(sequence=text)) for id_, text in named_sequences(sequences))

    def make_request(items: Sequence[PredictItem]) -> PredictRequest:
        return PredictRequest(
            model=model, items=items, num_candidates=num_candidates, include_logits=include_logits
        )

    def num_bytes(item: PredictItem) -> int:
        answer_bytes = _answer_bytes(item, num_candidates, include_logits)
        return max(item.ByteSize(), answer_bytes // ANSWER_BYTES_PER_REQUEST_BYTE)

    return PredictExchange(items, make_request, MAX_UNARY_ITEMS, num_bytes)


def score(model: str, sequences: Sequences, mode: str, include_per_residue: bool) -> ScoreExchange:
    """StreamScoreSequences over any number of sequences."""
    score_mode = ScoreMode.Value(f"SCORE_MODE_{mode.upper()}")

    def make_request(items: Sequence[EncodeItem]) -> StreamScoreSequencesRequest:
        return StreamScoreSequencesRequest(
            model=model, items=items, mode=score_mode, include_per_residue=include_per_residue
        )

    return StreamExchange(_encode_items(sequences), make_request, MAX_STREAM_ITEMS, ScoreCollector)


def variants(
    model: str, queries: VariantQueries, method: str, multi_mutant: str
) -> VariantsExchange:
    """StreamScoreVariants over any number of wild types."""
    variant_method = VariantMethod.Value(f"VARIANT_METHOD_{method.upper()}")
    combination = MultiMutant.Value(f"MULTI_MUTANT_{multi_mutant.upper()}")

    def make_request(items: Sequence[VariantsItem]) -> StreamScoreVariantsRequest:
        return StreamScoreVariantsRequest(
            model=model, items=items, method=variant_method, multi_mutant=combination
        )

    return StreamExchange(
        _variants_items(queries), make_request, MAX_STREAM_ITEMS, VariantsCollector
    )


def _answer_bytes(item: PredictItem, num_candidates: int, include_logits: bool) -> int:
    """About as much as Predict answers to one item."""
    residue_bytes = len(item.sequence) * (3 + LOGITS_ROW_BYTES * include_logits)
    return residue_bytes + item.sequence.count("<mask>") * (1 + num_candidates) * CANDIDATE_BYTES


def _encode_items(sequences: Sequences) -> Iterator[tuple[str, EncodeItem]]:
    return ((id_, EncodeItem(sequence=text)) for id_, text in named_sequences(sequences))


def _variants_items(queries: VariantQueries) -> Iterator[tuple[str, VariantsItem]]:
    for query in (queries,) if isinstance(queries, VariantQuery) else queries:
        yield query.id, VariantsItem(sequence=query.sequence, variants=query.variants)
