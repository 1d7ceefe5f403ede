"""Evo 2 results as messages."""

from collections.abc import Iterator
from typing import Any, TypeAlias

from numpy.typing import NDArray

from primase.evo2.v1 import evo2_service_pb2 as pb
from primase.tensors import row_slices, to_tensor
from primase.type.v1 import tensor_pb2
from primase_server.engine.events import Timings
from primase_server.models.card import ModelCard
from primase_server.models.evo2.work import (
    BaseScores,
    ForwardResult,
    LayerRows,
    ScanRows,
    ScoreResult,
    VariantScores,
)
from primase_server.rpc.rows import MESSAGE_BYTES, packed
from primase_server.rpc.timings import timings

DataType: TypeAlias = tensor_pb2.DataType.ValueType


def forward_result(
    index: int, entry: pb.ForwardItem, result: ForwardResult, spent: Timings, data_type: DataType
) -> pb.ForwardResult:
    """Everything of one sequence in one message."""
    rows = result.rows
    return pb.ForwardResult(
        item_index=index,
        id=entry.id,
        layers=[
            pb.LayerValues(
                layer=name,
                values=to_tensor(values[0] if rows.num_rows is None else values, data_type),
            )
            for name, values in rows.values
        ],
        num_other_characters=result.num_other_characters,
        timings=timings(spent),
    )


def forward_rows(
    index: int, entry: pb.ForwardItem, rows: LayerRows, data_type: DataType
) -> Iterator[pb.StreamForwardResponse]:
    """Rows of one sequence as messages."""
    pieces = ((piece, len(piece.slice.data)) for piece in _layer_slices(rows, data_type))
    for group in packed(pieces):
        yield pb.StreamForwardResponse(
            item_index=index, id=entry.id, rows=pb.ForwardRows(slices=group)
        )


def forward_end(
    index: int, entry: pb.ForwardItem, result: ForwardResult, spent: Timings, data_type: DataType
) -> Iterator[pb.StreamForwardResponse]:
    """The last rows of one sequence; the last message says so."""
    *messages, last = forward_rows(index, entry, result.rows, data_type)
    yield from messages
    last.rows.last = True
    last.rows.num_other_characters = result.num_other_characters
    last.rows.timings.CopyFrom(timings(spent))
    yield last


def _layer_slices(rows: LayerRows, data_type: DataType) -> Iterator[pb.LayerSlice]:
    for name, values in rows.values:
        if rows.num_rows is None:
            pieces = row_slices(values[0], data_type)
        else:
            pieces = row_slices(
                values, data_type, first_row=rows.row_offset, num_rows=rows.num_rows
            )
        for piece in pieces:
            yield pb.LayerSlice(layer=name, slice=piece)


def sequence_score(
    index: int, entry: pb.ForwardItem, result: ScoreResult, spent: Timings
) -> pb.SequenceScore:
    """Score of one sequence, without its values per base."""
    return pb.SequenceScore(
        item_index=index,
        id=entry.id,
        sum_log_likelihood=result.sum_log_likelihood,
        mean_log_likelihood=result.mean_log_likelihood,
        perplexity=result.perplexity,
        num_scored_bases=result.num_scored_bases,
        num_other_characters=result.num_other_characters,
        timings=timings(spent),
    )


def whole_sequence_score(
    index: int, entry: pb.ForwardItem, result: ScoreResult, spent: Timings
) -> pb.SequenceScore:
    """Score of one sequence, with its values per base where there are any."""
    score = sequence_score(index, entry, result, spent)
    if (bases := result.per_base) is not None:
        score.per_base.CopyFrom(to_tensor(bases.log_probs))
        score.entropy.CopyFrom(to_tensor(bases.entropies))
        if bases.num_alternatives:
            score.alternative_ids.CopyFrom(
                to_tensor(bases.alternative_ids, tensor_pb2.DATA_TYPE_INT32)
            )
            score.alternative_log_probs.CopyFrom(to_tensor(bases.alternative_log_probs))
    return score


def score_rows(
    index: int, entry: pb.ForwardItem, num_bases: int, bases: BaseScores | None
) -> Iterator[pb.StreamScoreSequencesResponse]:
    """Values of some bases, of `num_bases`, as messages; none where there are no values."""
    if bases is None or not len(bases.log_probs):
        return
    rows_per_message = max(1, MESSAGE_BYTES * len(bases.log_probs) // bases.num_bytes)
    for start in range(0, len(bases.log_probs), rows_per_message):
        rows = _score_slices(bases, slice(start, start + rows_per_message), num_bases)
        yield pb.StreamScoreSequencesResponse(item_index=index, id=entry.id, rows=rows)


def score_end(
    index: int, entry: pb.ForwardItem, num_bases: int, result: ScoreResult, spent: Timings
) -> Iterator[pb.StreamScoreSequencesResponse]:
    """The last values per base of one sequence, then its score."""
    yield from score_rows(index, entry, num_bases, result.per_base)
    score = sequence_score(index, entry, result, spent)
    yield pb.StreamScoreSequencesResponse(item_index=index, id=entry.id, score=score)


def _score_slices(bases: BaseScores, rows: slice, num_bases: int) -> pb.SequenceScoreRows:
    first_row = bases.row_offset + rows.start
    message = pb.SequenceScoreRows(
        per_base=_slice(bases.log_probs[rows], first_row, num_bases),
        entropy=_slice(bases.entropies[rows], first_row, num_bases),
    )
    if bases.num_alternatives:
        ids = _slice(bases.alternative_ids[rows], first_row, num_bases, tensor_pb2.DATA_TYPE_INT32)
        log_probs = _slice(bases.alternative_log_probs[rows], first_row, num_bases)
        message.alternative_ids.CopyFrom(ids)
        message.alternative_log_probs.CopyFrom(log_probs)
    return message


def description(card: ModelCard) -> str:
    """Model, type of its numbers, weights and precision in words, for recipes."""
    weights = card.weights
    identity = weights.revision or weights.checksum
    of = f" {identity}" if identity else ""
    trained = "" if weights.trained else ", untrained"
    verified = "verified" if weights.verified else "not verified"
    return (
        f"{card.name} ({card.variant}) in {card.dtype} on {card.device}; weights: "
        f"{weights.source.value}{of}{trained}; precision: {verified}"
    )


def variant_scores(
    index: int, entry: pb.VariantsItem, result: VariantScores
) -> Iterator[pb.StreamScoreVariantsResponse]:
    """Scores of some variants as messages; none where there are no scores."""
    scored = [
        pb.VariantScore(
            variant_index=result.first_index + number,
            delta_mean_log_likelihood=score.delta_mean,
            delta_sum_log_likelihood=score.delta_sum,
            reference_mean_log_likelihood=score.reference_mean,
            variant_mean_log_likelihood=score.variant_mean,
        )
        for number, score in enumerate(result.scores)
    ]
    for group in packed((score, score.ByteSize()) for score in scored):
        if group:
            scores = pb.VariantScores(scores=group, recipe=result.recipe)
            yield pb.StreamScoreVariantsResponse(item_index=index, id=entry.id, scores=scores)


def variant_end(
    index: int, entry: pb.VariantsItem, result: VariantScores, spent: Timings
) -> Iterator[pb.StreamScoreVariantsResponse]:
    """The last scores of one item; the last message says so."""
    *messages, last = variant_scores(index, entry, result)
    yield from messages
    last.scores.last = True
    last.scores.timings.CopyFrom(timings(spent))
    yield last


def scan_rows(
    index: int, entry: pb.ScanItem, rows: ScanRows
) -> Iterator[pb.StreamScanVariantsResponse]:
    """Rows of one region as messages; none where there are no rows."""
    if not len(rows.deltas):
        return
    rows_per_message = max(1, MESSAGE_BYTES * len(rows.deltas) // rows.num_bytes)
    for start in range(0, len(rows.deltas), rows_per_message):
        chosen = slice(start, start + rows_per_message)
        message = pb.ScanRows(
            deltas=_slice(rows.deltas[chosen], rows.row_offset + start, rows.num_rows),
            mean_delta=_slice(rows.mean_delta[chosen], rows.row_offset + start, rows.num_rows),
            min_delta=_slice(rows.min_delta[chosen], rows.row_offset + start, rows.num_rows),
            recipe=rows.recipe,
        )
        yield pb.StreamScanVariantsResponse(item_index=index, id=entry.id, rows=message)


def scan_end(
    index: int, entry: pb.ScanItem, rows: ScanRows, spent: Timings
) -> Iterator[pb.StreamScanVariantsResponse]:
    """The last rows of one region; the last message says so."""
    *messages, last = scan_rows(index, entry, rows)
    yield from messages
    last.rows.last = True
    last.rows.timings.CopyFrom(timings(spent))
    yield last


def _slice(
    rows: NDArray[Any],
    first_row: int,
    num_rows: int,
    data_type: DataType = tensor_pb2.DATA_TYPE_FLOAT32,
) -> tensor_pb2.TensorSlice:
    """Rows that fit a message, as one slice."""
    [piece] = row_slices(rows, data_type, first_row=first_row, num_rows=num_rows)
    return piece
