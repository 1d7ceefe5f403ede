"""Evo 2 requests as work items."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from primase.evo2.v1 import evo2_service_pb2 as pb
from primase.type.v1 import tensor_pb2
from primase_server.errors import InvalidRequest
from primase_server.models.evo2.work import (
    DEFAULT_WINDOW_BASES,
    Evo2Served,
    ForwardItem,
    ForwardOptions,
    Pooling,
    ScanItem,
    ScanMode,
    ScanOptions,
    ScoreItem,
    ScoreItemOptions,
    Strand,
    Variant,
    VariantsItem,
    VariantsOptions,
)
from primase_server.models.room import Room
from primase_server.rpc.enums import choice
from primase_server.settings import Limits

POOLINGS: Mapping[int, Pooling] = {
    pb.POOLING_UNSPECIFIED: Pooling.NONE,
    pb.POOLING_NONE: Pooling.NONE,
    pb.POOLING_MEAN: Pooling.MEAN,
    pb.POOLING_LAST: Pooling.LAST,
    pb.POOLING_FIRST: Pooling.FIRST,
    pb.POOLING_WINDOW: Pooling.WINDOW,
}
STRANDS: Mapping[int, Strand] = {
    pb.STRAND_UNSPECIFIED: Strand.FORWARD,
    pb.STRAND_FORWARD: Strand.FORWARD,
    pb.STRAND_REVERSE_COMPLEMENT: Strand.REVERSE_COMPLEMENT,
    pb.STRAND_BOTH: Strand.BOTH,
}
ALL_LOGITS: Mapping[int, bool] = {
    pb.LOGIT_COLUMNS_UNSPECIFIED: False,
    pb.LOGIT_COLUMNS_BASES: False,
    pb.LOGIT_COLUMNS_ALL: True,
}
FLOAT_TYPES: Mapping[int, tensor_pb2.DataType.ValueType] = {
    tensor_pb2.DATA_TYPE_UNSPECIFIED: tensor_pb2.DATA_TYPE_FLOAT32,
    tensor_pb2.DATA_TYPE_FLOAT32: tensor_pb2.DATA_TYPE_FLOAT32,
    tensor_pb2.DATA_TYPE_BFLOAT16: tensor_pb2.DATA_TYPE_BFLOAT16,
}
SCAN_MODES: Mapping[int, ScanMode] = {
    pb.SCAN_MODE_UNSPECIFIED: ScanMode.EXACT,
    pb.SCAN_MODE_EXACT: ScanMode.EXACT,
    pb.SCAN_MODE_ONE_PASS: ScanMode.ONE_PASS,
}

SHARES_OF_STATE = 4
"""Short sequences of one item that share a pass leave room for so many such items."""

WindowRequest = pb.StreamScoreVariantsRequest | pb.StreamScanVariantsRequest
ScoreRequest = pb.ScoreSequencesRequest | pb.StreamScoreSequencesRequest


def within(served: Evo2Served, limits: Limits, room: Room | None) -> Evo2Served:
    """What a model can do, within the limits of this server and the room on its device."""
    bundled_bytes = served.bundled_state_bytes
    if room is not None:
        bundled_bytes = min(bundled_bytes, room.state_bytes // SHARES_OF_STATE)
    return replace(
        served,
        chunk_tokens=min(served.chunk_tokens, limits.max_batch_tokens),
        max_bases=min(served.max_bases, limits.max_bases),
        bundled_state_bytes=bundled_bytes,
    )


def float_type(options: pb.ForwardOptions) -> tensor_pb2.DataType.ValueType:
    """The type that the numbers are sent in. Raises InvalidRequest where it cannot hold them."""
    field = "options.output_data_type"
    if options.output_data_type == tensor_pb2.DATA_TYPE_FLOAT16:
        raise InvalidRequest.at(
            field,
            "FLOAT16 ends at 65,504, and inner layers of Evo 2 go far beyond: "
            "ask for FLOAT32 or BFLOAT16",
        )
    return choice(FLOAT_TYPES, options.output_data_type, field)


def forward_options(options: pb.ForwardOptions, served: Evo2Served) -> ForwardOptions:
    """What is wanted of every sequence alike. Raises UnknownLayer and InvalidRequest."""
    pooling = choice(POOLINGS, options.pooling, "options.pooling")
    strand = choice(STRANDS, options.strand, "options.strand")
    all_logits = choice(ALL_LOGITS, options.logit_columns, "options.logit_columns")
    try:
        return ForwardOptions.build(
            served,
            options.layers,
            pooling,
            options.pooling_window_bases,
            strand,
            all_logits=all_logits,
        )
    except InvalidRequest as error:
        raise error.under("options") from error


def forward_builder(
    options: ForwardOptions, served: Evo2Served, *, is_streamed: bool
) -> Callable[[pb.ForwardItem], ForwardItem]:
    """How an entry of Forward becomes work."""
    return lambda entry: ForwardItem.build(served, entry.sequence, options, is_streamed=is_streamed)


def score_builder(
    request: ScoreRequest, served: Evo2Served, *, is_streamed: bool
) -> Callable[[pb.ForwardItem], ScoreItem]:
    """How an entry of ScoreSequences becomes work. Raises InvalidRequest."""
    options = ScoreItemOptions.build(
        choice(STRANDS, request.strand, "strand"),
        prepend_bos=request.prepend_bos,
        per_base=request.include_per_base,
        num_alternatives=request.num_alternatives,
    )
    return lambda entry: ScoreItem.build(served, entry.sequence, options, is_streamed=is_streamed)


def variants_builder(
    request: pb.StreamScoreVariantsRequest, served: Evo2Served
) -> Callable[[pb.VariantsItem], VariantsItem]:
    """How an entry of StreamScoreVariants becomes work. Raises InvalidRequest."""
    options = VariantsOptions.build(
        served, _window_bases(request), choice(STRANDS, request.strand, "strand")
    )

    def build(entry: pb.VariantsItem) -> VariantsItem:
        if entry.pairs and (entry.reference or entry.variants):
            raise InvalidRequest.at("pairs", "stand alone, without a reference and its variants")
        if entry.pairs:
            pairs = [(pair.ref, pair.alt) for pair in entry.pairs]
            return VariantsItem.of_pairs(served, pairs, options)
        if not entry.variants:
            raise InvalidRequest.at("variants", "name at least one, or give pairs")
        variants = [Variant(v.position, v.ref, v.alt) for v in entry.variants]
        return VariantsItem.of_reference(served, entry.reference, variants, options)

    return build


def scan_builder(
    request: pb.StreamScanVariantsRequest, served: Evo2Served
) -> Callable[[pb.ScanItem], ScanItem]:
    """How an entry of StreamScanVariants becomes work. Raises InvalidRequest."""
    options = ScanOptions(
        choice(SCAN_MODES, request.mode, "mode"),
        _window_bases(request),
        choice(STRANDS, request.strand, "strand"),
    )

    def build(entry: pb.ScanItem) -> ScanItem:
        end = entry.end if entry.HasField("end") else None
        return ScanItem.build(served, entry.reference, entry.start, end, options)

    return build


def _window_bases(request: WindowRequest) -> int:
    return request.window_bases if request.HasField("window_bases") else DEFAULT_WINDOW_BASES
