"""Evo 2 as a test tells it to be: numbers made of each sequence's own hash, by any layer's name."""

import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from primase.evo2.v1 import evo2_service_pb2 as pb
from primase.evo2.v1 import evo2_service_pb2_grpc
from primase.models.v1 import model_service_pb2 as models_pb
from primase.tensors import row_slices, to_tensor
from primase.type.v1 import tensor_pb2
from tests.gateway.scripted_generation import Sample, num_samples

NUM_BLOCKS = 5
ATTENTION_BLOCKS = (3,)
WIDTH = 8
NUM_HEADS = 2
INNER_WIDTH = 12
VOCABULARY = 512
WIDTHS = {"projections": 3 * WIDTH, "Wqkv": 3 * WIDTH, "l1": INNER_WIDTH, "l2": INNER_WIDTH}
HYENA = ("projections", "filter", "out_filter_dense")
ATTENTION = ("inner_mha_cls.Wqkv", "inner_mha_cls.inner_attn", "inner_mha_cls")
# Of the smallest answers, so that each takes several messages.
SLICE_BYTES = 256

Array = NDArray[np.float32]


def layer_names() -> Iterator[str]:
    """As GetModel lists them."""
    yield "embedding_layer"
    for block in range(NUM_BLOCKS):
        own = ATTENTION if block in ATTENTION_BLOCKS else HYENA
        for part in ("pre_norm", *own, "post_norm", "mlp.l1", "mlp.l2", "mlp.l3"):
            yield f"blocks.{block}.{part}"
        yield f"blocks.{block}"
    yield "norm"
    yield "unembed"


def width_of(name: str) -> int:
    """Numbers per base of a layer by any of its names."""
    last = name.rpartition(".")[2]
    others = {
        "unembed": VOCABULARY,
        "output_layer": VOCABULARY,
        "linear_fc1": 2 * INNER_WIDTH,
        "linear_qkv": 3 * WIDTH,
        "dense_projection": 3 * WIDTH,
    }
    return (WIDTHS | others).get(last, WIDTH)


def model(name: str = "evo2-7b", **others: Any) -> models_pb.Model:
    """A small ready Evo 2."""
    ready = models_pb.Model(
        name=name,
        family=models_pb.MODEL_FAMILY_EVO2,
        variant="evo2_7b",
        num_attention_heads=NUM_HEADS,
        num_parameters=6_481_711_104,
        layers=[models_pb.Layer(name=layer, width=width_of(layer)) for layer in layer_names()],
        limits=models_pb.ModelLimits(max_sequence_tokens=1000),
        weights=models_pb.Weights(
            source=models_pb.WEIGHTS_SOURCE_HUB, revision="abc", checksum="sha256:0", trained=True
        ),
        state=models_pb.MODEL_STATE_READY,
    )
    ready.MergeFrom(models_pb.Model(**others))
    return ready


def values(sequence: str, layer: str) -> Array:
    """[L, width]"""
    seed = zlib.crc32(f"{sequence} {layer}".encode())
    shape = (len(sequence), width_of(layer))
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


POOLED = {
    pb.POOLING_MEAN: lambda rows: rows.mean(axis=0),
    pb.POOLING_LAST: lambda rows: rows[-1],
    pb.POOLING_FIRST: lambda rows: rows[0],
}


def pooled(sequence: str, options: pb.ForwardOptions, layer: str) -> Array:
    """[L, width], or [width] where pooled."""
    rows = values(sequence, layer)
    found: Array = POOLED.get(options.pooling, lambda all_rows: all_rows)(rows)
    return found


def log_likelihood(sequence: str) -> float:
    """Of the whole sequence."""
    return float(-len(sequence) - 0.5)


class ScriptedEvo2(evo2_service_pb2_grpc.Evo2ServiceServicer):
    """Answers by a script, which is shared with the other services."""

    def __init__(self, script: Any) -> None:
        self._script = script

    def Forward(self, request: pb.ForwardRequest, context: Any) -> pb.ForwardResponse:
        """All in one message."""
        self._enter(request, context)
        results = [
            pb.ForwardResult(
                item_index=index,
                id=item.id,
                layers=[
                    pb.LayerValues(
                        layer=layer, values=to_tensor(pooled(item.sequence, request.options, layer))
                    )
                    for layer in request.options.layers
                ],
            )
            for index, item in enumerate(request.items)
        ]
        return pb.ForwardResponse(model=request.model, results=results)

    def StreamForward(
        self, request: pb.StreamForwardRequest, context: Any
    ) -> Iterator[pb.StreamForwardResponse]:
        """A message for some rows of every layer."""
        self._enter(request, context)
        for index, item in enumerate(request.items):
            refusal = self._script.refuse_items.get(index)
            if refusal is not None:
                yield pb.StreamForwardResponse(item_index=index, failed=refusal)
                continue
            for piece in self._slices(item.sequence, request.options):
                rows = pb.ForwardRows(slices=[piece])
                yield pb.StreamForwardResponse(item_index=index, rows=rows)
            yield pb.StreamForwardResponse(item_index=index, rows=pb.ForwardRows(last=True))

    def _slices(self, sequence: str, options: pb.ForwardOptions) -> Iterator[pb.LayerSlice]:
        pieces: Sequence[Iterator[tensor_pb2.TensorSlice]] = [
            row_slices(self._array(sequence, options, layer), max_bytes=SLICE_BYTES)
            for layer in options.layers
        ]
        waiting = dict(zip(options.layers, pieces, strict=True))
        # A slice of each in turn: the arrays grow beside each other, as chunks make them do.
        while waiting:
            for layer in list(waiting):
                piece = next(waiting[layer], None)
                if piece is None:
                    del waiting[layer]
                else:
                    yield pb.LayerSlice(layer=layer, slice=piece)

    def _array(self, sequence: str, options: pb.ForwardOptions, layer: str) -> Array:
        array = np.ascontiguousarray(pooled(sequence, options, layer))
        if self._script.not_finite:
            array.flat[0] = np.nan
        return array[:-1] if self._script.short else array

    def Generate(self, request: pb.GenerateRequest, context: Any) -> pb.GenerateResponse:
        """All in one message."""
        self._enter(request, context)
        return pb.GenerateResponse(
            samples=[
                pb.Sample(
                    item_index=index,
                    sample_index=number,
                    id=item.id,
                    started=sample.started(),
                    tokens=sample.tokens(0, sample.num_tokens),
                    finished=sample.finished(),
                )
                for index, item in enumerate(request.items)
                for number in range(num_samples(request))
                for sample in (Sample(self._script, request, index, number),)
            ]
        )

    def StreamGenerate(
        self, request: pb.StreamGenerateRequest, context: Any
    ) -> Iterator[pb.StreamGenerateResponse]:
        """One sample after the other; a bad item fails alone."""
        self._enter(request, context)
        for index in range(len(request.items)):
            refusal = self._script.refuse_items.get(index)
            if refusal is not None:
                yield pb.StreamGenerateResponse(item_index=index, failed=refusal)
                continue
            for number in range(num_samples(request)):
                yield from Sample(self._script, request, index, number).events(context)

    def ScoreSequences(
        self, request: pb.ScoreSequencesRequest, context: Any
    ) -> pb.ScoreSequencesResponse:
        """Sums alone."""
        self._enter(request, context)
        scores = [
            pb.SequenceScore(item_index=index, sum_log_likelihood=log_likelihood(item.sequence))
            for index, item in enumerate(request.items)
        ]
        return pb.ScoreSequencesResponse(model=request.model, scores=scores)

    def StreamScoreVariants(
        self, request: pb.StreamScoreVariantsRequest, context: Any
    ) -> Iterator[pb.StreamScoreVariantsResponse]:
        """A message a variant."""
        self._enter(request, context)
        for index, item in enumerate(request.items):
            for number, variant in enumerate(item.variants):
                score = pb.VariantScore(
                    variant_index=number, delta_mean_log_likelihood=float(variant.position)
                )
                scores = pb.VariantScores(scores=[score], last=number + 1 == len(item.variants))
                yield pb.StreamScoreVariantsResponse(item_index=index, id=item.id, scores=scores)

    def StreamScoreSequences(
        self, request: pb.StreamScoreSequencesRequest, context: Any
    ) -> Iterator[pb.StreamScoreSequencesResponse]:
        """A message an item."""
        self._enter(request, context)
        for index, item in enumerate(request.items):
            score = pb.SequenceScore(item_index=index, sum_log_likelihood=-1)
            yield pb.StreamScoreSequencesResponse(item_index=index, id=item.id, score=score)

    def StreamScanVariants(
        self, request: pb.StreamScanVariantsRequest, context: Any
    ) -> Iterator[pb.StreamScanVariantsResponse]:
        """A message an item; then it breaks, if that is the script."""
        self._enter(request, context)
        for index, item in enumerate(request.items):
            rows = pb.ScanRows(recipe="scripted", last=True)
            yield pb.StreamScanVariantsResponse(item_index=index, id=item.id, rows=rows)
        self._script.fail_late(context)

    def _enter(self, request: Any, context: Any) -> None:
        self._script.enter(request, context)
        if self._script.precision:
            context.send_initial_metadata((("x-primase-precision", self._script.precision),))
        self._script.known(request.model, context)
