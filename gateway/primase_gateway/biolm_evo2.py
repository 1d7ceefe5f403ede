"""Evo 2 in all generations of the BioLM API: they differ in strictness, and in what is left out.

One sequence a request; `encode` gives the output of the gated MLP of whole blocks, pooled.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema

from primase.evo2.v1 import evo2_service_pb2 as pb
from primase.models.v1 import model_service_pb2 as models_pb
from primase_gateway import biolm_evo2_generate, evo2
from primase_gateway.biolm import Action, Call, Document, Schema, hosted, hub, small
from primase_gateway.biolm_bases import Bases, HubBases
from primase_gateway.biolm_bodies import Lenient, OneItem, Strict
from primase_gateway.biolm_items import MAX_INCLUDES
from primase_gateway.biolm_schemas import (
    INTEGER,
    LOG_PROB,
    NUMBERS,
    array_of,
    closed_object,
    nullable,
)
from primase_gateway.errors import Refusal
from primase_gateway.json_stream import JsonAnswer

MAX_LAYERS = 128
BLOCK = re.compile(r"blocks\.(\d+)")
# The third matrix of the gated MLP; the original has no other.
MLP_LAYER = 3
POOLINGS: Mapping[str, pb.Pooling.ValueType] = {"mean": pb.POOLING_MEAN, "last": pb.POOLING_LAST}

Include = Literal["mean", "last"]


def _check_hub_includes(names: list[str]) -> list[str]:
    for name in names:
        if name not in POOLINGS:
            raise ValueError(f"{name[:64]!r} is not a valid Evo2EncodeIncludeOptions")
    return names


Layers = Annotated[list[int], Field(max_length=MAX_LAYERS)]
HubInclude = Annotated[str, WithJsonSchema({"type": "string", "enum": list(POOLINGS)})]
BEFORE_LAST = [-2]
MEAN: list[Include] = ["mean"]
HUB_MEAN = ["mean"]


class Item(Lenient):
    """One sequence."""

    sequence: Bases


class StrictItem(Item):
    """One sequence and nothing else."""

    model_config = ConfigDict(extra="forbid")


class HubItem(Strict):
    """One sequence and nothing else, whose length is checked last."""

    sequence: HubBases


class Params(Lenient):
    """What to return."""

    embedding_layers: Layers = BEFORE_LAST
    mlp_layer: int = MLP_LAYER
    include: Annotated[list[Include], Field(max_length=MAX_INCLUDES)] = MEAN


class StrictParams(Params):
    """What to return, and nothing else."""

    model_config = ConfigDict(extra="forbid")


class HubParams(Strict):
    """What to return, and nothing else."""

    embedding_layers: Layers = BEFORE_LAST
    mlp_layer: int = MLP_LAYER
    include: Annotated[
        list[HubInclude], Field(max_length=MAX_INCLUDES), AfterValidator(_check_hub_includes)
    ] = HUB_MEAN


class EncodeRequest2(Lenient):
    """Body of `encode` in version 2."""

    params: Params | None = None
    items: Annotated[list[Item], OneItem]


class EncodeRequest3(Strict):
    """Body of `encode` in version 3."""

    params: StrictParams | None = None
    items: Annotated[list[StrictItem], OneItem]


class HubEncodeRequest(Strict):
    """Body of `encode` in version 1."""

    params: HubParams = HubParams()
    items: Annotated[list[HubItem], OneItem]


class ScoreRequest2(Lenient):
    """Body of `predict` in version 2."""

    items: Annotated[list[Item], OneItem]


class ScoreRequest3(Strict):
    """Body of `predict` and its other names in version 3; `params` is ignored, as for ESM-2."""

    params: Any = None
    items: Annotated[list[StrictItem], OneItem]


class HubScoreRequest(Strict):
    """Body of `log_prob` in version 1."""

    items: Annotated[list[HubItem], OneItem]


async def _encode_hosted(call: Call, body: EncodeRequest2 | EncodeRequest3) -> JsonAnswer:
    return await _encode(call, body.items[0].sequence, body.params or Params())


async def _encode_hub(call: Call, body: HubEncodeRequest) -> JsonAnswer:
    nothing: Document = dict.fromkeys(POOLINGS)
    return await _encode(call, body.items[0].sequence, body.params, nothing)


async def _score(call: Call, body: ScoreRequest2 | ScoreRequest3 | HubScoreRequest) -> JsonAnswer:
    work = evo2.log_likelihood(call.gateway.service, call.model, body.items[0].sequence)
    return small([{"log_prob": await call.do(work)}])


async def _encode(
    call: Call, sequence: str, params: Params | HubParams, unasked: Document | None = None
) -> JsonAnswer:
    """`unasked` is what a layer holds of poolings that were not asked for."""
    if params.mlp_layer != MLP_LAYER:
        text = f"mlp_layer {params.mlp_layer} is not served: only {MLP_LAYER} is"
        raise Refusal.of_field(("params", "mlp_layer"), text)
    layers = _resolve(call.model, params.embedding_layers)
    vectors = await call.do(_read(call, sequence, layers, params.include))
    embeddings = [
        {"layer": layer} | (unasked or {}) | {name: found[layer] for name, found in vectors.items()}
        for layer in layers
    ]
    return small([{"embeddings": embeddings}])


def _resolve(model: models_pb.Model, layers: Sequence[int]) -> list[int]:
    """Non-negative, in the order given. Raises Refusal naming the valid range."""
    num_blocks = sum(1 for layer in model.layers if BLOCK.fullmatch(layer.name))
    if any(not -num_blocks <= layer < num_blocks for layer in layers):
        text = (
            "Requested embedding layers are out of bounds. "
            f"Ensure the layer indices are between {-num_blocks} and {num_blocks - 1}."
        )
        raise Refusal.of_field(("params", "embedding_layers"), text, "UNKNOWN_LAYER")
    return [layer % num_blocks for layer in layers]


async def _read(
    call: Call, sequence: str, layers: Sequence[int], include: Sequence[str]
) -> dict[str, dict[int, evo2.Array]]:
    """A vector [width] of each kind and layer. Raises Refusal."""
    names = {layer: f"blocks.{layer}.mlp.l3" for layer in layers}
    vectors = {}
    # In the order of an answer's keys. One pass of the model each.
    for kind in (kind for kind in POOLINGS if kind in include and names):
        found = await evo2.pooled(
            call.gateway.service, call.model, sequence, list(names.values()), POOLINGS[kind]
        )
        vectors[kind] = {layer: found[name] for layer, name in names.items()}
    return vectors


_LAYER: Schema = closed_object({"layer": INTEGER}, dict.fromkeys(POOLINGS, NUMBERS))
_HUB_LAYER: Schema = closed_object({"layer": INTEGER} | dict.fromkeys(POOLINGS, nullable(NUMBERS)))
ENCODING: Schema = closed_object({"embeddings": array_of(_LAYER)})
HUB_ENCODING: Schema = closed_object({"embeddings": array_of(_HUB_LAYER)})

_SCORE_3 = hosted(ScoreRequest3, _score, LOG_PROB)
_SCORE_HUB = hub(HubScoreRequest, _score, LOG_PROB)
HOSTED_2: Mapping[str, Action] = {
    "encode": hosted(EncodeRequest2, _encode_hosted, ENCODING),
    "predict": hosted(ScoreRequest2, _score, LOG_PROB),
    "generate": biolm_evo2_generate.HOSTED_2,
}
HOSTED_3: Mapping[str, Action] = {
    "encode": hosted(EncodeRequest3, _encode_hosted, ENCODING),
    "predict": _SCORE_3,
    "log_prob": _SCORE_3,
    "score": _SCORE_3,
    "generate": biolm_evo2_generate.HOSTED_3,
}
HUB: Mapping[str, Action] = {
    "encode": hub(HubEncodeRequest, _encode_hub, HUB_ENCODING),
    "log_prob": _SCORE_HUB,
    "score": _SCORE_HUB,
    "generate": biolm_evo2_generate.HUB,
}
