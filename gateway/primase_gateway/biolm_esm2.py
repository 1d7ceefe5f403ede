"""The work of ESM-2 as the BioLM API asks for it, in the shape that a generation gives it."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Protocol

from primase.esm2.v1 import esm2_service_pb2 as pb
from primase_gateway import esm2
from primase_gateway.biolm import Call, Document, small
from primase_gateway.errors import Refusal
from primase_gateway.json_stream import JsonAnswer

KINDS: Mapping[str, pb.Include.ValueType] = {
    "mean": pb.INCLUDE_MEAN,
    "bos": pb.INCLUDE_BOS,
    "per_token": pb.INCLUDE_PER_TOKEN,
    "per_residue": pb.INCLUDE_PER_TOKEN,
    "contacts": pb.INCLUDE_CONTACTS,
    "logits": pb.INCLUDE_LOGITS,
    "attentions": pb.INCLUDE_ATTENTIONS,
}
COLUMN_NAMES = list(esm2.STANDARD_RESIDUES)

EncodingShape = Callable[[int, esm2.Encoded, esm2.EncodeQuery], Document]
PredictionShape = Callable[[esm2.Predicted], Document]


class Item(Protocol):
    """One sequence of a checked body."""

    @property
    def sequence(self) -> str: ...


class Params(Protocol):
    """What a checked body wants returned."""

    @property
    def repr_layers(self) -> Sequence[int]: ...
    @property
    def include(self) -> Sequence[str]: ...


async def encode(
    call: Call, items: Sequence[Item], params: Params, shape: EncodingShape
) -> JsonAnswer:
    """The numbers asked for, in the shape of a dialect. Raises Refusal."""
    query = _encode_query(call, items, params)
    with ExitStack() as held:
        held.enter_context(call.gateway.held.hold(esm2.encode_bytes(query, call.model)))
        encoded = await call.do(esm2.encode(call.gateway.service, call.model, query))
        results = [shape(i, item, query) for i, item in enumerate(encoded)]
        return JsonAnswer({"results": results}, held.pop_all().close)


async def predict(call: Call, items: Sequence[Item], shape: PredictionShape) -> JsonAnswer:
    """Logits and tokens, in the shape of a dialect. Raises Refusal."""
    sequences = [item.sequence for item in items]
    predicted = await call.do(esm2.predict(call.gateway.service, call.model, sequences))
    return small([shape(item) for item in predicted])


async def log_prob(call: Call, items: Sequence[Item]) -> JsonAnswer:
    """Log-likelihoods, which all dialects write alike. Raises Refusal."""
    sequences = [item.sequence for item in items]
    sums = await call.do(esm2.log_likelihoods(call.gateway.service, call.model, sequences))
    return small([{"log_prob": log_prob} for log_prob in sums])


def _encode_query(call: Call, items: Sequence[Item], params: Params) -> esm2.EncodeQuery:
    try:
        layers = esm2.resolve_layers(params.repr_layers, call.model)
    except ValueError as error:
        place = ("params", "repr_layers")
        raise Refusal.of_field(place, str(error), "UNKNOWN_LAYER") from None
    kinds = frozenset(KINDS[name] for name in params.include)
    return esm2.EncodeQuery([item.sequence for item in items], layers, kinds)
