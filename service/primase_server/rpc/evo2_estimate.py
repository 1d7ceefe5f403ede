"""What Evo 2 requests cost, from their shapes alone."""

from collections.abc import Callable, Sequence

import numpy as np

from primase.models.v1 import model_service_pb2 as pb
from primase.type.v1 import tensor_pb2
from primase_server.errors import InvalidRequest
from primase_server.models.evo2.cost import FLOAT32_BYTES
from primase_server.models.evo2.work import (
    Evo2Served,
    ForwardItem,
    ForwardOptions,
    Pooling,
    ScoreItem,
    ScoreItemOptions,
)
from primase_server.models.room import Room
from primase_server.rpc.fitting import largest, refusals
from primase_server.rpc.unary import BYTES_PER_NUMBER
from primase_server.settings import Limits

# An upper bound, with the framing of the message.
SCORE_BYTES = 128

Shape = ForwardItem | ScoreItem
Call = Callable[[int], Shape]
"""The item that a call makes of a sequence of so many bases."""

ROWS = {pb.ESTIMATE_OUTPUT_PER_TOKEN, pb.ESTIMATE_OUTPUT_LOGITS}
KNOWN = ROWS | {pb.ESTIMATE_OUTPUT_MEAN, pb.ESTIMATE_OUTPUT_SCORE}


def forward_bytes(items: Sequence[ForwardItem], data_type: tensor_pb2.DataType.ValueType) -> int:
    """Bytes of the numbers that Forward answers."""
    num_bytes = sum(item.num_result_bytes for item in items)
    return num_bytes * BYTES_PER_NUMBER[data_type] // FLOAT32_BYTES


def score_bytes(items: Sequence[ScoreItem]) -> int:
    """Bytes that ScoreSequences answers, but for the callers' own names of the sequences."""
    return sum(SCORE_BYTES + item.num_result_bytes for item in items)


def estimate(
    request: pb.EstimateRequest, served: Evo2Served, room: Room, limits: Limits, weights_bytes: int
) -> pb.EstimateResponse:
    """Tokens, memory and answer of the request, and whether an idle server would take it.

    What one call cannot answer together is counted as calls one after the other: rows, means and
    scores. Raises InvalidRequest for outputs of other families.
    """
    calls = _calls(request, served)
    lengths = list(request.sequence_lengths)
    longest = max(lengths)
    by_length = {length: [call(length) for call in calls] for length in set(lengths)}
    items = [item for length in lengths for item in by_length[length]]
    response_bytes = sum(_answer_bytes(item, request) for item in items)
    problems = _problems(items, by_length[longest], room, limits, served)
    return pb.EstimateResponse(
        num_tokens=sum(item.num_tokens for item in items),
        workspace_bytes=max(_step_bytes(item) + item.state_bytes for item in by_length[longest]),
        response_bytes=response_bytes,
        fits=not problems,
        fits_unary=not problems and response_bytes <= limits.max_unary_response_bytes,
        max_sequence_length=largest(
            lambda n: n == 0 or not _problems_of_one(calls, n, room, limits, served),
            served.max_bases,
        ),
        detail="; ".join(problems),
        max_step_sequences=_step_sequences(by_length[longest], room, limits, served),
        weights_bytes=weights_bytes,
    )


def _calls(request: pb.EstimateRequest, served: Evo2Served) -> list[Call]:
    outputs = list(request.outputs) or [pb.ESTIMATE_OUTPUT_MEAN]
    for index, output in enumerate(outputs):
        if output not in KNOWN:
            raise InvalidRequest.at(
                f"outputs[{index}]", "Evo 2 has MEAN, PER_TOKEN, LOGITS and SCORE only"
            )
    canonical = served.layers.canonical
    num_layers = min(request.num_layers or 1, served.config.num_layers)
    hidden = [layer.name for layer in canonical if layer.name.count(".") == 1][-num_layers:]
    calls: list[Call] = []
    if pb.ESTIMATE_OUTPUT_MEAN in outputs:
        calls.append(_forward(served, hidden, Pooling.MEAN))
    if ROWS & set(outputs):
        rows = hidden if pb.ESTIMATE_OUTPUT_PER_TOKEN in outputs else []
        logits = [canonical[-1].name] if pb.ESTIMATE_OUTPUT_LOGITS in outputs else []
        calls.append(_forward(served, rows + logits, Pooling.NONE))
    if pb.ESTIMATE_OUTPUT_SCORE in outputs:
        calls.append(lambda n: ScoreItem(served, ScoreItemOptions(), (_bases(n),), 0, True))
    return calls


def _forward(served: Evo2Served, layers: Sequence[str], pooling: Pooling) -> Call:
    options = ForwardOptions.build(served, layers, pooling, all_logits=True)
    chunk_tokens = options.chunk_tokens(served.chunk_tokens)
    return lambda n: ForwardItem(served, options, (_bases(n),), 0, True, chunk_tokens)


def _bases(num_bases: int) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """One number, seen many times."""
    return np.broadcast_to(np.uint8(0), num_bases)


def _step_bytes(item: Shape) -> int:
    """Of its first pass, which is as large as any."""
    return next(iter(item.passes())).num_bytes


def _answer_bytes(item: Shape, request: pb.EstimateRequest) -> int:
    if isinstance(item, ScoreItem):
        return SCORE_BYTES
    num_bytes = BYTES_PER_NUMBER.get(request.output_data_type, FLOAT32_BYTES)
    return item.num_result_bytes * num_bytes // FLOAT32_BYTES


def _problems_of_one(
    calls: Sequence[Call], num_bases: int, room: Room, limits: Limits, served: Evo2Served
) -> list[str]:
    items = [call(num_bases) for call in calls]
    return _problems(items, items, room, limits, served)


def _problems(
    items: Sequence[Shape],
    longest: Sequence[Shape],
    room: Room,
    limits: Limits,
    served: Evo2Served,
) -> list[str]:
    """What an idle server would refuse, and by which limit."""
    num_bases = max(len(item.readings[0]) for item in longest)
    return refusals(
        (
            ("bases in one sequence", num_bases, served.max_bases),
            ("bytes in one step", max(map(_step_bytes, longest)), room.batch_bytes),
            ("bytes of state", max(item.state_bytes for item in longest), room.state_bytes),
            ("queued tokens", sum(item.num_tokens for item in items), limits.max_queued_tokens),
            ("queued bytes", sum(item.num_bytes for item in items), limits.max_queued_bytes),
        )
    )


def _step_sequences(
    longest: Sequence[Shape], room: Room, limits: Limits, served: Evo2Served
) -> int:
    """How many such sequences one step takes a chunk of, as the scheduler counts them."""
    if len(longest[0].readings[0]) > served.max_bases:
        return 0
    passes = [next(iter(item.passes())) for item in longest]
    return min(
        limits.max_batch_tokens // max(work.num_tokens for work in passes),
        room.batch_bytes // max(work.num_bytes for work in passes),
        room.state_bytes // max(item.state_bytes for item in longest),
    )
