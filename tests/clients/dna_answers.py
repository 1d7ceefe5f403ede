"""A scripted Evo 2 server's answers, made from nothing but what it is asked."""

from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np

from primase.evo2.v1 import evo2_service_pb2 as pb
from primase.tensors import row_slices
from primase.type.v1.tensor_pb2 import DATA_TYPE_INT32
from tests.clients.scripted import Manner, ScriptedEvo2, at_once, bad_request, status

INVALID = grpc.StatusCode.INVALID_ARGUMENT
BASES = "ACGT"
WIDTH = 2
RECIPE = "window 8192, forward"
ROWS_PER_MESSAGE = 3


def refusal(path: str, what: str = "INVALID_SEQUENCE") -> Any:
    """The status of a bad item."""
    return status(INVALID, what, "bad", bad_request((path, "this is bad", what)))


def is_bad(sequence: str) -> bool:
    """The server refuses this one."""
    return "!" in sequence


def layer_values(sequence: str, pooling: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Row i is i and -i; pooled: the length and less."""
    if pooling in (pb.POOLING_UNSPECIFIED, pb.POOLING_NONE):
        rows = np.arange(len(sequence), dtype=np.float32)
        return np.stack([rows, -rows], axis=1)
    return np.array([len(sequence), -len(sequence)], np.float32)


def forward(request: Any, context: Any) -> Iterator[pb.StreamForwardResponse]:
    """The same values for every layer, in turns of a few rows of each."""
    options = request.options
    for i, item in enumerate(request.items):
        if is_bad(item.sequence):
            failed = refusal(f"items[{i}].sequence")
            yield pb.StreamForwardResponse(item_index=i, failed=failed)
            continue
        values = layer_values(item.sequence, options.pooling)
        for piece in row_slices(values, options.output_data_type, ROWS_PER_MESSAGE * 4 * WIDTH):
            slices = [pb.LayerSlice(layer=layer, slice=piece) for layer in options.layers]
            yield pb.StreamForwardResponse(item_index=i, rows=pb.ForwardRows(slices=slices))
        others = sum(base not in BASES for base in item.sequence)
        last = pb.ForwardRows(num_other_characters=others, last=True)
        yield pb.StreamForwardResponse(item_index=i, rows=last)


def scores(request: Any, context: Any) -> Iterator[pb.StreamScoreSequencesResponse]:
    """-0.5 for every base but the first; entropies are 1."""
    for i, item in enumerate(request.items):
        if is_bad(item.sequence):
            failed = refusal(f"items[{i}].sequence")
            yield pb.StreamScoreSequencesResponse(item_index=i, failed=failed)
            continue
        length = len(item.sequence)
        if request.include_per_base:
            yield from _score_rows(i, length, request.num_alternatives)
        num_scored = length if request.prepend_bos else length - 1
        score = pb.SequenceScore(
            sum_log_likelihood=-0.5 * num_scored,
            mean_log_likelihood=-0.5,
            perplexity=1.5,
            num_scored_bases=num_scored,
            num_other_characters=sum(base not in BASES for base in item.sequence),
        )
        yield pb.StreamScoreSequencesResponse(item_index=i, score=score)


def _score_rows(
    item_index: int, length: int, num_alternatives: int
) -> Iterator[pb.StreamScoreSequencesResponse]:
    per_base = np.full(length, -0.5, np.float32)
    per_base[0] = 0
    for piece in row_slices(per_base, max_bytes=8):
        yield pb.StreamScoreSequencesResponse(
            item_index=item_index, rows=pb.SequenceScoreRows(per_base=piece)
        )
    (entropy,) = row_slices(np.ones(length, np.float32))
    rows = pb.SequenceScoreRows(entropy=entropy)
    if num_alternatives:
        ids = np.tile(np.arange(num_alternatives, dtype=np.int32), (length, 1))
        (id_rows,) = row_slices(ids, DATA_TYPE_INT32)
        (log_prob_rows,) = row_slices(-ids.astype(np.float32))
        rows.alternative_ids.CopyFrom(id_rows)
        rows.alternative_log_probs.CopyFrom(log_prob_rows)
    yield pb.StreamScoreSequencesResponse(item_index=item_index, rows=rows)


def variant_scores(request: Any, context: Any) -> Iterator[pb.StreamScoreVariantsResponse]:
    """The mean delta is minus the length of the reference before the variant; N is a bad base."""
    for i, item in enumerate(request.items):
        bad = [n for n, variant in enumerate(item.variants) if "N" in variant.alt]
        if bad:
            # One at a time, as a server may that names only some.
            failed = refusal(f"items[{i}].variants[{bad[0]}].alt")
            yield pb.StreamScoreVariantsResponse(item_index=i, failed=failed)
            continue
        deltas = [0.0 - variant.position for variant in item.variants]
        deltas += [0.0 - len(pair.alt) for pair in item.pairs]
        for number, delta in enumerate(deltas):
            score = pb.VariantScore(
                variant_index=number,
                delta_mean_log_likelihood=delta,
                delta_sum_log_likelihood=2 * delta,
                reference_mean_log_likelihood=-1,
                variant_mean_log_likelihood=delta - 1,
            )
            found = pb.VariantScores(scores=[score], recipe=RECIPE, last=number == len(deltas) - 1)
            yield pb.StreamScoreVariantsResponse(item_index=i, scores=found)


def scans(request: Any, context: Any) -> Iterator[pb.StreamScanVariantsResponse]:
    """The delta is minus the place in the region, plus a tenth for each column."""
    for i, item in enumerate(request.items):
        if is_bad(item.reference):
            failed = refusal(f"items[{i}].reference")
            yield pb.StreamScanVariantsResponse(item_index=i, failed=failed)
            continue
        end = item.end if item.HasField("end") else len(item.reference)
        region = item.reference[item.start : end]
        deltas = np.arange(len(region))[:, None] * -1.0 + np.arange(4) / 10
        deltas[np.arange(len(region)), [BASES.index(base) for base in region]] = 0
        mean, lowest = deltas.sum(axis=1) / 3, deltas.min(axis=1)
        for number, piece in enumerate(row_slices(deltas, max_bytes=32)):
            rows = pb.ScanRows(deltas=piece)
            if number == 0:
                rows.recipe = RECIPE
                (mean_rows,), (lowest_rows,) = row_slices(mean), row_slices(lowest)
                rows.mean_delta.CopyFrom(mean_rows)
                rows.min_delta.CopyFrom(lowest_rows)
            yield pb.StreamScanVariantsResponse(item_index=i, rows=rows)
        yield pb.StreamScanVariantsResponse(item_index=i, rows=pb.ScanRows(last=True))


class EveryDnaAnswer(ScriptedEvo2):
    """Answers each call as above, in some manner."""

    def __init__(self, manner: Manner = at_once) -> None:
        super().__init__(forward)
        self._manner = manner

    def StreamForward(self, request: Any, context: Any) -> Any:
        return self._answered(forward, request, context)

    def StreamScoreSequences(self, request: Any, context: Any) -> Any:
        return self._answered(scores, request, context)

    def StreamScoreVariants(self, request: Any, context: Any) -> Any:
        return self._answered(variant_scores, request, context)

    def StreamScanVariants(self, request: Any, context: Any) -> Any:
        return self._answered(scans, request, context)

    def _answered(self, answer: Any, request: Any, context: Any) -> Any:
        self.requests.append(request)
        return self._manner(answer(request, context), context)
