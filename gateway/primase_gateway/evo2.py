"""Evo 2 as all dialects see it, before any gives it a shape: calls and plain arrays."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing

import numpy as np
from numpy.typing import NDArray

from primase.evo2.v1 import evo2_service_pb2 as pb
from primase.models.v1 import model_service_pb2 as models_pb
from primase.tensors import SliceAssembler
from primase.type.v1 import tensor_pb2
from primase_gateway.errors import Refusal, from_status
from primase_gateway.finite import finite
from primase_gateway.service import Service

Array = NDArray[np.float32]
Take = Callable[[str, tensor_pb2.TensorSlice], None]

NO_SUCH_ANSWER = "the answer is not what was asked for"


async def read_layers(
    service: Service, request: pb.StreamForwardRequest, take: Take, deadline_s: float | None = None
) -> None:
    """Give `take` the rows of each layer of the one item of `request`, as they come.

    `take` is called on other threads, one call at a time; its ValueError means that the answer is
    not what was asked for. Raises Refusal.
    """
    complete = False
    async with aclosing(
        service.stream(service.evo2.StreamForward, request, deadline_s)
    ) as responses:
        async for response in responses:
            if response.WhichOneof("event") == "failed":
                raise from_status(response.failed, response.item_index)
            await asyncio.to_thread(_take_all, response.rows, take)
            complete = complete or response.rows.last
    if not complete:
        raise Refusal("INTERNAL", NO_SUCH_ANSWER)


def _take_all(rows: pb.ForwardRows, take: Take) -> None:
    try:
        for piece in rows.slices:
            take(piece.layer, piece.slice)
    except (KeyError, ValueError):
        raise Refusal("INTERNAL", NO_SUCH_ANSWER) from None


async def pooled(
    service: Service,
    model: models_pb.Model,
    sequence: str,
    layers: Sequence[str],
    pooling: pb.Pooling.ValueType,
) -> dict[str, Array]:
    """One vector [width] of each of `layers`. Raises Refusal."""
    assemblers = {layer: SliceAssembler() for layer in layers}
    request = pb.StreamForwardRequest(
        model=model.name,
        items=[pb.ForwardItem(sequence=sequence)],
        options=pb.ForwardOptions(
            layers=list(assemblers),
            pooling=pooling,
            output_data_type=tensor_pb2.DATA_TYPE_FLOAT32,
        ),
    )
    await read_layers(service, request, lambda layer, piece: assemblers[layer].add(piece))
    if not all(assembler.complete for assembler in assemblers.values()):
        raise Refusal("INTERNAL", NO_SUCH_ANSWER)
    return {layer: finite(assembler.array()) for layer, assembler in assemblers.items()}


async def log_likelihood(service: Service, model: models_pb.Model, sequence: str) -> float:
    """Of every base but the first, given those before it. Raises Refusal.

    A base alone has no other, so that there is nothing to add up.
    """
    if len(sequence) == 1:
        return 0.0
    request = pb.ScoreSequencesRequest(
        model=model.name,
        items=[pb.ForwardItem(sequence=sequence)],
        strand=pb.STRAND_FORWARD,
    )
    answer = await service.call(service.evo2.ScoreSequences, request)
    if len(answer.scores) != 1:
        raise Refusal("INTERNAL", NO_SUCH_ANSWER)
    return float(finite(np.asarray(answer.scores[0].sum_log_likelihood)))
