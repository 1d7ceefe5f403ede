"""The BioLM API of the self-hosted hub: /api/v1/{slug}/{action}. Its errors are FastAPI's."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema
from starlette.requests import Request

from primase.esm2.v1 import esm2_service_pb2 as pb
from primase.models.v1.model_service_pb2 import (
    MODEL_FAMILY_ESM2,
    MODEL_FAMILY_EVO2,
    MODEL_FAMILY_PROGEN2,
)
from primase_gateway import biolm_esm2, biolm_evo2, biolm_progen2, biolm_v3, esm2
from primase_gateway.biolm import Call, Dialect, Document, Schema, hub
from primase_gateway.biolm_bodies import Strict
from primase_gateway.biolm_esm2 import COLUMN_NAMES
from primase_gateway.biolm_items import (
    ENCODE_SCHEMA,
    ENCODE_TEXT,
    LAST_LAYER,
    MASK,
    MAX_INCLUDES,
    NO_MASK,
    NO_RESIDUE,
    PREDICT_ALPHABET,
    PREDICT_SCHEMA,
    PREDICT_TEXT,
    BatchSize,
    Length,
    ReprLayers,
    has_residue,
)
from primase_gateway.biolm_schemas import (
    HUB_REFUSAL,
    INTEGER,
    LOG_PROB,
    MATRIX,
    TEXTS,
    closed_object,
    nullable,
)
from primase_gateway.body import BODY, read_body
from primase_gateway.errors import Refusal, Violation
from primase_gateway.fastapi_errors import (
    NOT_AN_OBJECT,
    parse_json,
    refused,
    unprocessable,
)
from primase_gateway.json_stream import JsonAnswer

JSON_TYPE = re.compile(r"application/(?:[\w.+-]+\+)?json\s*(?:;.*)?", re.IGNORECASE)
INCLUDES = ("mean", "per_token", "per_residue", "bos", "contacts", "logits", "attentions")
RESIDUES = f"Residues can only be represented with '{PREDICT_ALPHABET}' characters"
MEAN = ["mean"]


def _check_encode(text: str) -> str:
    return _checked(text, ENCODE_TEXT)


def _check_predict(text: str) -> str:
    if PREDICT_TEXT.fullmatch(text) and MASK not in text and text:
        raise ValueError(NO_MASK)
    return _checked(text, PREDICT_TEXT)


def _checked(text: str, allowed: re.Pattern[str]) -> str:
    if not text or not allowed.fullmatch(text):
        raise ValueError(RESIDUES)
    if not has_residue(text):
        raise ValueError(NO_RESIDUE)
    return text


def _check_includes(names: list[str]) -> list[str]:
    for name in names:
        if name not in INCLUDES:
            raise ValueError(f"{name[:64]!r} is not a valid ESM2EncodeIncludeOptions")
    return names


class EncodeItem(Strict):
    """One sequence."""

    # The length is checked last, as by the original.
    sequence: Annotated[str, AfterValidator(_check_encode), Length, ENCODE_SCHEMA]


class PredictItem(Strict):
    """One sequence with at least one mask."""

    sequence: Annotated[str, AfterValidator(_check_predict), Length, PREDICT_SCHEMA]


Include = Annotated[str, WithJsonSchema({"type": "string", "enum": list(INCLUDES)})]


class EncodeParams(Strict):
    """What to return."""

    repr_layers: ReprLayers = LAST_LAYER
    include: Annotated[
        list[Include], Field(max_length=MAX_INCLUDES), AfterValidator(_check_includes)
    ] = MEAN


class EncodeRequest(Strict):
    """Body of `encode`."""

    params: EncodeParams = EncodeParams()
    items: Annotated[list[EncodeItem], BatchSize]


class PredictRequest(Strict):
    """Body of `predict`."""

    items: Annotated[list[PredictItem], BatchSize]


class LogProbRequest(Strict):
    """Body of `log_prob` and `score`."""

    items: Annotated[list[EncodeItem], BatchSize]


async def _read(request: Request, max_bytes: int) -> object:
    try:
        body = await read_body(request, max_bytes)
    except Refusal as refusal:
        raise unprocessable(refusal) from None
    if body and not JSON_TYPE.fullmatch(request.headers.get("content-type", "").strip()):
        raise refused(_not_an_object(body.decode(errors="replace")))
    return parse_json(body)


def _not_an_object(given: str) -> Violation:
    return Violation(BODY, NOT_AN_OBJECT, kind="model_attributes_type", given=given)


async def _encode(call: Call, body: EncodeRequest) -> JsonAnswer:
    return await biolm_esm2.encode(call, body.items, body.params, _encoding)


async def _predict(call: Call, body: PredictRequest) -> JsonAnswer:
    return await biolm_esm2.predict(call, body.items, biolm_v3.prediction)


async def _log_prob(call: Call, body: LogProbRequest) -> JsonAnswer:
    return await biolm_esm2.log_prob(call, body.items)


def _encoding(sequence_index: int, encoded: esm2.Encoded, query: esm2.EncodeQuery) -> Document:
    def layers(kind: pb.Include.ValueType, key: str) -> list[Document] | None:
        return biolm_v3.by_layer(encoded, kind, key) if kind in query.kinds else None

    return {
        "sequence_index": sequence_index,
        "embeddings": layers(pb.INCLUDE_MEAN, "embedding"),
        "bos_embeddings": layers(pb.INCLUDE_BOS, "embedding"),
        "residue_embeddings": layers(pb.INCLUDE_PER_TOKEN, "embeddings"),
        "contacts": encoded.contacts,
        "attentions": encoded.attentions,
        "logits": encoded.logits,
        "vocab_tokens": None if encoded.logits is None else COLUMN_NAMES,
    }


ENCODING: Schema = closed_object(
    {
        "sequence_index": INTEGER,
        "embeddings": nullable(biolm_v3.VECTORS),
        "bos_embeddings": nullable(biolm_v3.VECTORS),
        "residue_embeddings": nullable(biolm_v3.MATRICES),
        "contacts": nullable(MATRIX),
        "attentions": nullable(MATRIX),
        "logits": nullable(MATRIX),
        "vocab_tokens": nullable(TEXTS),
    }
)

_LOG_PROB = hub(LogProbRequest, _log_prob, LOG_PROB)
ESM2 = {
    "encode": hub(EncodeRequest, _encode, ENCODING),
    "predict": hub(PredictRequest, _predict, biolm_v3.PREDICTION),
    "log_prob": _LOG_PROB,
    "score": _LOG_PROB,
}
DIALECT = Dialect(
    prefix="/api/v1",
    actions={
        MODEL_FAMILY_ESM2: ESM2,
        MODEL_FAMILY_EVO2: biolm_evo2.HUB,
        MODEL_FAMILY_PROGEN2: biolm_progen2.HUB,
    },
    refusal=HUB_REFUSAL,
    read=_read,
)
