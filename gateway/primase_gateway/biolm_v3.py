"""The BioLM API, hosted version 3: /api/v3/{slug}/{action}. It refuses keys it does not know."""

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
from primase_gateway.biolm_bodies import Strict
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
    LOG_PROB,
    MATRIX,
    NUMBERS,
    TEXTS,
    array_of,
    closed_object,
)
from primase_gateway.json_stream import JsonAnswer

# Key of a result, and of one of its layers. Their order is part of the contract.
LAYER_KEYS: Mapping[pb.Include.ValueType, tuple[str, str]] = {
    pb.INCLUDE_MEAN: ("embeddings", "embedding"),
    pb.INCLUDE_BOS: ("bos_embeddings", "embedding"),
    pb.INCLUDE_PER_TOKEN: ("per_token_embeddings", "embeddings"),
}


class EncodeItem(Strict):
    """One sequence."""

    sequence: EncodeSequence


class PredictItem(Strict):
    """One sequence with at least one mask."""

    sequence: PredictSequence


class EncodeParams(Strict):
    """What to return."""

    repr_layers: ReprLayers = LAST_LAYER
    include: Includes = MEAN


class EncodeRequest(Strict):
    """Body of `encode`."""

    params: EncodeParams | None = None
    items: Annotated[list[EncodeItem], BatchSize]


class PredictRequest(Strict):
    """Body of `predict`; `params` is accepted and ignored, as by the original."""

    params: Any = None
    items: Annotated[list[PredictItem], BatchSize]


class LogProbRequest(Strict):
    """Body of `log_prob` and `score`."""

    items: Annotated[list[EncodeItem], BatchSize]


async def _encode(call: Call, body: EncodeRequest) -> JsonAnswer:
    return await biolm_esm2.encode(call, body.items, body.params or EncodeParams(), _encoding)


async def _predict(call: Call, body: PredictRequest) -> JsonAnswer:
    return await biolm_esm2.predict(call, body.items, prediction)


async def _log_prob(call: Call, body: LogProbRequest) -> JsonAnswer:
    return await biolm_esm2.log_prob(call, body.items)


def _encoding(sequence_index: int, encoded: esm2.Encoded, query: esm2.EncodeQuery) -> Document:
    result: Document = {"sequence_index": sequence_index}
    for kind, (key, layer_key) in LAYER_KEYS.items():
        if kind in query.kinds:
            result[key] = by_layer(encoded, kind, layer_key)
    arrays: dict[str, np.ndarray[Any, Any] | None] = {
        "contacts": encoded.contacts,
        "attentions": encoded.attentions,
        "logits": encoded.logits,
    }
    result.update({key: array for key, array in arrays.items() if array is not None})
    if encoded.logits is not None:
        result["vocab_tokens"] = COLUMN_NAMES
    return result


def by_layer(encoded: esm2.Encoded, kind: pb.Include.ValueType, key: str) -> list[Document]:
    """One entry per layer, ascending: `key` is what its numbers are called."""
    layers = encoded.by_layer.get(kind, {})
    return [{"layer": layer, key: array} for layer, array in layers.items()]


def prediction(predicted: esm2.Predicted) -> Document:
    """One result of `predict`."""
    return {
        "logits": predicted.logits,
        "sequence_tokens": predicted.tokens,
        "vocab_tokens": COLUMN_NAMES,
    }


VECTORS: Schema = array_of(closed_object({"layer": INTEGER, "embedding": NUMBERS}))
MATRICES: Schema = array_of(closed_object({"layer": INTEGER, "embeddings": MATRIX}))
ENCODING: Schema = closed_object(
    {"sequence_index": INTEGER},
    {
        "embeddings": VECTORS,
        "bos_embeddings": VECTORS,
        "per_token_embeddings": MATRICES,
        "contacts": MATRIX,
        "attentions": MATRIX,
        "logits": MATRIX,
        "vocab_tokens": TEXTS,
    },
)
PREDICTION: Schema = closed_object(
    {"logits": MATRIX, "sequence_tokens": TEXTS, "vocab_tokens": TEXTS}
)

LOG_PROB_ACTION = hosted(LogProbRequest, _log_prob, LOG_PROB)
ESM2 = {
    "encode": hosted(EncodeRequest, _encode, ENCODING),
    "predict": hosted(PredictRequest, _predict, PREDICTION),
    "log_prob": LOG_PROB_ACTION,
    "score": LOG_PROB_ACTION,
}
DIALECT = Dialect(
    prefix="/api/v3",
    actions={
        MODEL_FAMILY_ESM2: ESM2,
        MODEL_FAMILY_EVO2: biolm_evo2.HOSTED_3,
        MODEL_FAMILY_PROGEN2: biolm_progen2.HOSTED_3,
    },
    refusal=HOSTED_REFUSAL,
)
