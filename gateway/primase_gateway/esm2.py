"""ESM-2 as all BioLM dialects see it, before any gives it a shape: calls and plain arrays."""

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from primase.esm2.v1 import esm2_service_pb2 as pb
from primase.models.v1 import model_service_pb2 as models_pb
from primase.tensors import SliceAssembler, to_array
from primase.type.v1 import tensor_pb2
from primase_gateway.errors import Refusal, from_status, merged
from primase_gateway.finite import finite
from primase_gateway.service import Service

# The order in which the original lists the columns of its logits.
STANDARD_RESIDUES = "LAGVSERTIDPKQNFYMHWC"
NUM_VOCABULARY = 33
FLOAT_BYTES = 4
LAYER_KINDS = frozenset((pb.INCLUDE_MEAN, pb.INCLUDE_BOS, pb.INCLUDE_PER_TOKEN))

Kind: TypeAlias = "pb.Include.ValueType"
Array = NDArray[np.float32]


@dataclass(frozen=True)
class EncodeQuery:
    """A checked request: `layers` ascending, unique and non-negative."""

    sequences: Sequence[str]
    layers: Sequence[int]
    kinds: frozenset[Kind]

    @property
    def asked_kinds(self) -> list[Kind]:
        """Kinds that the service has to work for: without a layer there is nothing to represent."""
        kinds = self.kinds if self.layers else self.kinds - LAYER_KINDS
        return sorted(kinds)


@dataclass
class Encoded:
    """Arrays of one sequence of L residues, as far as asked for."""

    by_layer: dict[Kind, dict[int, Array]] = field(default_factory=dict)
    contacts: Array | None = None  # [L, L]
    logits: Array | None = None  # [L, 20]
    attentions: Array | None = None  # [layers, L]


@dataclass(frozen=True)
class Predicted:
    """Logits [L, 20] of one sequence with masks, and its L tokens."""

    logits: Array
    tokens: list[str]


def last_layer(model: models_pb.Model) -> int:
    """n: the index of the last layer, 0 being the embedding."""
    return max((layer.index for layer in model.layers), default=0)


def resolve_layers(layers: Sequence[int], model: models_pb.Model) -> list[int]:
    """Non-negative, ascending, each once. Raises ValueError naming the valid range."""
    last = last_layer(model)
    if any(not -(last + 1) <= layer <= last for layer in layers):
        raise ValueError(
            "Requested representation layers are out of bounds. "
            f"Ensure the layer indices are between {-(last + 1)} and {last}."
        )
    return sorted({layer % (last + 1) for layer in layers})


def encode_bytes(query: EncodeQuery, model: models_pb.Model) -> int:
    """Bytes of all numbers that the service will send."""
    width = max((layer.width for layer in model.layers), default=0)
    return sum(_item_bytes(query, len(s), width, last_layer(model)) for s in query.sequences)


def _item_bytes(query: EncodeQuery, length: int, width: int, num_blocks: int) -> int:
    numbers = {
        pb.INCLUDE_MEAN: len(query.layers) * width,
        pb.INCLUDE_BOS: len(query.layers) * width,
        pb.INCLUDE_PER_TOKEN: len(query.layers) * width * length,
        pb.INCLUDE_CONTACTS: length * length,
        pb.INCLUDE_LOGITS: length * NUM_VOCABULARY,
        pb.INCLUDE_ATTENTIONS: num_blocks * length,
    }
    return FLOAT_BYTES * sum(numbers[kind] for kind in query.kinds)


async def encode(service: Service, model: models_pb.Model, query: EncodeQuery) -> list[Encoded]:
    """One result per sequence, in order. Raises Refusal, which names each bad item."""
    if not query.asked_kinds:
        return [Encoded() for _ in query.sequences]
    assemblers = await _collect(service, _encode_request(model, query), len(query.sequences))
    columns = standard_columns(model)
    return [_encoded(arrays, columns) for arrays in assemblers]


def _encode_request(model: models_pb.Model, query: EncodeQuery) -> pb.StreamEncodeRequest:
    return pb.StreamEncodeRequest(
        model=model.name,
        items=[pb.EncodeItem(sequence=sequence) for sequence in query.sequences],
        options=pb.EncodeOptions(
            repr_layers=query.layers,
            include=query.asked_kinds,
            output_data_type=tensor_pb2.DATA_TYPE_FLOAT32,
        ),
    )


_Assemblers = dict[tuple[Kind, int], SliceAssembler]


async def _collect(
    service: Service, request: pb.StreamEncodeRequest, num_items: int
) -> list[_Assemblers]:
    items: list[_Assemblers] = [{} for _ in range(num_items)]
    refusals: list[Refusal] = []
    async with aclosing(service.stream(service.esm2.StreamEncode, request)) as responses:
        async for response in responses:
            if response.WhichOneof("event") == "failed":
                refusals.append(from_status(response.failed, response.item_index))
                continue
            for piece in response.rows.slices:
                key = (piece.kind, piece.layer)
                items[response.item_index].setdefault(key, SliceAssembler()).add(piece.slice)
    if refusals:
        raise merged(refusals)
    if any({kind for kind, _ in item} != set(request.options.include) for item in items):
        raise Refusal("INTERNAL", "the answer lacks what was asked for")
    return items


def _encoded(assemblers: _Assemblers, columns: list[int]) -> Encoded:
    encoded = Encoded()
    for (kind, layer), assembler in sorted(assemblers.items()):
        array = finite(assembler.array())
        if kind in LAYER_KINDS:
            encoded.by_layer.setdefault(kind, {})[layer] = array
        elif kind == pb.INCLUDE_CONTACTS:
            encoded.contacts = array
        elif kind == pb.INCLUDE_LOGITS:
            encoded.logits = _select(array, columns)
        elif kind == pb.INCLUDE_ATTENTIONS:
            encoded.attentions = array
    return encoded


async def predict(
    service: Service, model: models_pb.Model, sequences: Sequence[str]
) -> list[Predicted]:
    """One result per sequence, in order. Raises Refusal, which names each bad item."""
    request = pb.PredictRequest(
        model=model.name,
        items=[pb.PredictItem(sequence=sequence) for sequence in sequences],
        num_candidates=0,
        include_logits=True,
    )
    response = await service.call(service.esm2.Predict, request)
    if len(response.predictions) != len(sequences):
        raise Refusal("INTERNAL", "the answer lacks what was asked for")
    columns = standard_columns(model)
    return [
        Predicted(
            _select(finite(to_array(prediction.logits)), columns),
            list(prediction.sequence_tokens),
        )
        for prediction in response.predictions
    ]


async def log_likelihoods(
    service: Service, model: models_pb.Model, sequences: Sequence[str]
) -> list[float]:
    """Of each sequence, in order. Raises Refusal, which names each bad item.

    One unmasked pass however long the sequence is, as by the original: no windows. It is not a
    pseudo-log-likelihood, for the model sees each residue that it scores.
    """
    query = EncodeQuery(sequences, (), frozenset((pb.INCLUDE_LOGITS,)))
    encoded = await encode(service, model, query)
    return [
        log_likelihood(sequence, item.logits)
        for sequence, item in zip(sequences, encoded, strict=True)
        if item.logits is not None
    ]


def log_likelihood(sequence: str, logits: Array) -> float:
    """Natural log-probability of the residues: softmax over the 20 columns of `logits` [L, 20].

    Letters outside the 20 are skipped.
    """
    rows = [row for row, letter in enumerate(sequence) if letter in STANDARD_RESIDUES]
    columns = [STANDARD_RESIDUES.index(sequence[row]) for row in rows]
    scored = logits[rows].astype(np.float64)  # [scored, 20]
    chosen = scored[np.arange(len(rows)), columns]
    return float((chosen - np.logaddexp.reduce(scored, axis=1)).sum())


def standard_columns(model: models_pb.Model) -> list[int]:
    """Where the 20 standard residues stand among the columns of the service's logits."""
    column = {token: index for index, token in enumerate(model.vocabulary)}
    return [column[residue] for residue in STANDARD_RESIDUES]


def _select(logits: Array, columns: list[int]) -> Array:
    return np.ascontiguousarray(logits[:, columns])
