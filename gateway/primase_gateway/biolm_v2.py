"""The BioLM API, hosted version 2: /api/v2/{slug}/{action}. It ignores keys it does not know."""

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np

from primase.esm2.v1 import esm2_service_pb2 as pb
from primase.models.v1.model_service_pb2 import (
    MODEL_FAMILY_ESM2,
    MODEL_FAMILY_EVO2,
    MODEL_FAMILY_PROGEN2,
)
from primase_gateway import biolm_esm2, biolm_evo2, biolm_progen2, esm2
from primase_gateway.biolm import Call, Dialect, Document, Schema, hosted
from primase_gateway.biolm_bodies import Lenient
from primase_gateway.biolm_esm2 import COLUMN_NAMES
from primase_gateway.biolm_items import (
    LAST_LAYER,
    MEAN,
    BatchSize,
    EncodeSequence,
    Includes,
    PredictSequence,
    ReprLayers,
)
from primase_gateway.biolm_schemas import (
    HOSTED_REFUSAL,
    INTEGER,
    MATRIX,
    NUMBERS,
    TEXTS,
    closed_object,
)
from primase_gateway.json_stream import JsonAnswer

# Clients read a result by position, so the order of its keys is part of the contract.
LAYER_KEYS: Mapping[pb.Include.ValueType, str] = {
    pb.INCLUDE_MEAN: "mean_representations",
    pb.INCLUDE_BOS: "bos_representations",
    pb.INCLUDE_PER_TOKEN: "representations",
}


class EncodeItem(Lenient):
    """One sequence."""

    sequence: EncodeSequence


class PredictItem(Lenient):
    """One sequence with at least one mask."""

    sequence: PredictSequence


class EncodeParams(Lenient):
    """What to return."""

    repr_layers: ReprLayers = LAST_LAYER
    include: Includes = MEAN


class EncodeRequest(Lenient):
    """Body of `encode`."""

    params: EncodeParams | None = None
    items: Annotated[list[EncodeItem], BatchSize]


class PredictRequest(Lenient):
    """Body of `predict`; `params` is accepted and ignored, as by the original."""

    items: Annotated[list[PredictItem], BatchSize]


async def _encode(call: Call, body: EncodeRequest) -> JsonAnswer:
    return await biolm_esm2.encode(call, body.items, body.params or EncodeParams(), _encoding)


async def _predict(call: Call, body: PredictRequest) -> JsonAnswer:
    return await biolm_esm2.predict(call, body.items, _prediction)


def _encoding(sequence_index: int, encoded: esm2.Encoded, query: esm2.EncodeQuery) -> Document:
    result: Document = {"sequence_index": sequence_index}
    for kind, key in LAYER_KEYS.items():
        if kind in query.kinds:
            layers = encoded.by_layer.get(kind, {})
            result[key] = {str(layer): array for layer, array in layers.items()}
    arrays: dict[str, np.ndarray[Any, Any] | None] = {
        "contacts": encoded.contacts,
        "logits": encoded.logits,
        "attentions": encoded.attentions,
    }
    result.update({key: array for key, array in arrays.items() if array is not None})
    return result


def _prediction(predicted: esm2.Predicted) -> Document:
    return {
        "logits": predicted.logits,
        "sequence_tokens": predicted.tokens,
        "alphabet_tokens": COLUMN_NAMES,
    }


_BY_LAYER: Schema = {"type": "object", "additionalProperties": NUMBERS}
ENCODING: Schema = closed_object(
    {"sequence_index": INTEGER},
    {
        "mean_representations": _BY_LAYER,
        "bos_representations": _BY_LAYER,
        "representations": {"type": "object", "additionalProperties": MATRIX},
        "contacts": MATRIX,
        "logits": MATRIX,
        "attentions": MATRIX,
    },
)
PREDICTION: Schema = closed_object(
    {"logits": MATRIX, "sequence_tokens": TEXTS, "alphabet_tokens": TEXTS}
)

ESM2 = {
    "encode": hosted(EncodeRequest, _encode, ENCODING),
    "predict": hosted(PredictRequest, _predict, PREDICTION),
}
DIALECT = Dialect(
    prefix="/api/v2",
    actions={
        MODEL_FAMILY_ESM2: ESM2,
        MODEL_FAMILY_EVO2: biolm_evo2.HOSTED_2,
        MODEL_FAMILY_PROGEN2: biolm_progen2.HOSTED_2,
    },
    refusal=HOSTED_REFUSAL,
)
