"""ESM-2 results as messages."""

from collections.abc import Iterator, Mapping
from typing import TypeAlias

from primase.esm2.v1 import esm2_service_pb2 as pb
from primase.tensors import row_slices, to_tensor
from primase.type.v1 import tensor_pb2
from primase_server.engine.events import Timings
from primase_server.models.esm2.alphabet import STANDARD_20
from primase_server.models.esm2.passes import Float32Array
from primase_server.models.esm2.work import (
    EncodeResult,
    MaskPrediction,
    MultiMutant,
    PredictResult,
    ScoreMode,
    ScoreResult,
    VariantMethod,
    VariantsResult,
)
from primase_server.rpc.rows import packed
from primase_server.rpc.timings import timings

DataType: TypeAlias = tensor_pb2.DataType.ValueType

SCORE_MODES: Mapping[ScoreMode, pb.ScoreMode.ValueType] = {
    ScoreMode.ONE_PASS: pb.SCORE_MODE_ONE_PASS,
    ScoreMode.PSEUDO: pb.SCORE_MODE_PSEUDO,
}
VARIANT_METHODS: Mapping[VariantMethod, pb.VariantMethod.ValueType] = {
    VariantMethod.WILDTYPE_MARGINAL: pb.VARIANT_METHOD_WILDTYPE_MARGINAL,
    VariantMethod.MASKED_MARGINAL: pb.VARIANT_METHOD_MASKED_MARGINAL,
}
MULTI_MUTANTS: Mapping[MultiMutant, pb.MultiMutant.ValueType] = {
    MultiMutant.WILDTYPE_FILL: pb.MULTI_MUTANT_WILDTYPE_FILL,
    MultiMutant.MASK_ALL: pb.MULTI_MUTANT_MASK_ALL,
}


def encoding(
    index: int, entry: pb.EncodeItem, result: EncodeResult, spent: Timings, data_type: DataType
) -> pb.Encoding:
    """Everything of one sequence in one message."""

    def tensor(array: Float32Array | None) -> tensor_pb2.Tensor | None:
        return None if array is None else to_tensor(array, data_type)

    def row(array: Float32Array | None, row_index: int) -> tensor_pb2.Tensor | None:
        return None if array is None else to_tensor(array[row_index], data_type)

    return pb.Encoding(
        item_index=index,
        id=entry.id,
        num_residues=result.num_residues,
        layers=[
            pb.LayerEncoding(
                layer=layer,
                mean=row(result.mean, i),
                bos=row(result.bos, i),
                per_token=row(result.per_token, i),
            )
            for i, layer in enumerate(result.repr_layers)
        ],
        contacts=tensor(result.contacts),
        logits=tensor(result.logits),
        attentions=tensor(result.attentions),
        attention_maps=[
            pb.AttentionMap(
                attention_head=pb.AttentionHead(layer=layer, head=head),
                values=row(result.attention_maps, i),
            )
            for i, (layer, head) in enumerate(result.attention_heads)
        ],
        timings=timings(spent),
    )


def encoding_rows(
    index: int, entry: pb.EncodeItem, result: EncodeResult, spent: Timings, data_type: DataType
) -> Iterator[pb.StreamEncodeResponse]:
    """The same as messages of whole rows; the last says so."""
    pieces = ((piece, len(piece.slice.data)) for piece in _slices(result, data_type))
    groups = packed(pieces)
    group = next(groups)
    for following in groups:
        yield _rows_message(index, entry, result, group)
        group = following
    message = _rows_message(index, entry, result, group)
    message.rows.last = True
    message.rows.timings.CopyFrom(timings(spent))
    yield message


def _rows_message(
    index: int, entry: pb.EncodeItem, result: EncodeResult, group: list[pb.EncodingSlice]
) -> pb.StreamEncodeResponse:
    rows = pb.EncodingRows(slices=group, num_residues=result.num_residues)
    return pb.StreamEncodeResponse(item_index=index, id=entry.id, rows=rows)


def _slices(result: EncodeResult, data_type: DataType) -> Iterator[pb.EncodingSlice]:
    for i, layer in enumerate(result.repr_layers):
        vectors = (
            (pb.INCLUDE_MEAN, result.mean),
            (pb.INCLUDE_BOS, result.bos),
            (pb.INCLUDE_PER_TOKEN, result.per_token),
        )
        for kind, array in vectors:
            if array is not None:
                yield from _sliced(kind, array[i], data_type, layer=layer)
    whole = (
        (pb.INCLUDE_CONTACTS, result.contacts),
        (pb.INCLUDE_LOGITS, result.logits),
        (pb.INCLUDE_ATTENTIONS, result.attentions),
    )
    for kind, array in whole:
        if array is not None:
            yield from _sliced(kind, array, data_type)
    if result.attention_maps is not None:
        for i, (layer, head) in enumerate(result.attention_heads):
            values = result.attention_maps[i]
            yield from _sliced(pb.INCLUDE_ATTENTION_MAPS, values, data_type, layer=layer, head=head)


def _sliced(
    kind: pb.Include.ValueType,
    array: Float32Array,
    data_type: DataType,
    *,
    layer: int = 0,
    head: int = 0,
) -> Iterator[pb.EncodingSlice]:
    for piece in row_slices(array, data_type):
        yield pb.EncodingSlice(kind=kind, layer=layer, head=head, slice=piece)


def prediction(
    index: int, entry: pb.PredictItem, result: PredictResult, *, include_logits: bool
) -> pb.Prediction:
    """What Predict says of one sequence."""
    return pb.Prediction(
        item_index=index,
        id=entry.id,
        masks=[_mask(mask) for mask in result.masks],
        sequence_tokens=result.sequence_tokens,
        logits=to_tensor(result.logits) if include_logits else None,
    )


def _mask(mask: MaskPrediction) -> pb.MaskPrediction:
    return pb.MaskPrediction(
        position=mask.position,
        candidates=[
            pb.Candidate(residue=c.residue, probability=c.probability) for c in mask.candidates
        ],
    )


def sequence_score(
    index: int,
    entry: pb.EncodeItem,
    result: ScoreResult,
    spent: Timings,
    *,
    include_per_residue: bool,
) -> Iterator[pb.StreamScoreSequencesResponse]:
    """Score of one sequence, in one message."""
    score = pb.SequenceScore(
        mode=SCORE_MODES[result.mode],
        sum_log_likelihood=result.sum_log_likelihood,
        mean_log_likelihood=result.mean_log_likelihood,
        perplexity=result.perplexity,
        num_scored_residues=result.num_scored_residues,
        per_residue=to_tensor(result.per_residue) if include_per_residue else None,
        timings=timings(spent),
    )
    yield pb.StreamScoreSequencesResponse(item_index=index, id=entry.id, score=score)


def variant_scores(
    index: int, entry: pb.VariantsItem, result: VariantsResult, spent: Timings
) -> Iterator[pb.StreamScoreVariantsResponse]:
    """Scores of one sequence's variants as messages; the last says so."""
    messages = list(_variant_messages(result))
    for number, scores in enumerate(messages):
        if number == len(messages) - 1:
            scores.last = True
            scores.timings.CopyFrom(timings(spent))
        yield pb.StreamScoreVariantsResponse(item_index=index, id=entry.id, scores=scores)


def _variant_messages(result: VariantsResult) -> Iterator[pb.VariantScores]:
    method, multi = VARIANT_METHODS[result.method], MULTI_MUTANTS[result.multi_mutant]
    if result.scan is not None:
        for piece in row_slices(result.scan):
            yield pb.VariantScores(
                method=method, multi_mutant=multi, scan=piece, scan_residues=STANDARD_20
            )
    if result.scores is None:
        return
    scored = [
        pb.VariantScore(variant=variant, score=score)
        for variant, score in zip(result.variants, result.scores.tolist(), strict=True)
    ]
    for group in packed((score, score.ByteSize()) for score in scored):
        yield pb.VariantScores(method=method, multi_mutant=multi, scores=group)
