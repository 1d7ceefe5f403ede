"""Models as the contract tells them."""

from collections.abc import Mapping

from primase.models.v1 import model_service_pb2 as pb
from primase.type.v1 import tensor_pb2
from primase_server.engine.engine import QueueState
from primase_server.models.card import ModelCard, ModelState, WeightsSource
from primase_server.models.families import ESM2, EVO2, PROGEN2
from primase_server.models.registry import ServedModel
from primase_server.settings import Limits

FAMILIES: Mapping[str, pb.ModelFamily.ValueType] = {
    ESM2.name: pb.MODEL_FAMILY_ESM2,
    EVO2.name: pb.MODEL_FAMILY_EVO2,
    PROGEN2.name: pb.MODEL_FAMILY_PROGEN2,
}
STATES: Mapping[ModelState, pb.ModelState.ValueType] = {
    ModelState.LOADING: pb.MODEL_STATE_LOADING,
    ModelState.READY: pb.MODEL_STATE_READY,
    ModelState.FAILED: pb.MODEL_STATE_FAILED,
    ModelState.UNVERIFIED: pb.MODEL_STATE_UNVERIFIED,
    ModelState.UNLOADING: pb.MODEL_STATE_UNLOADING,
}
SOURCES: Mapping[WeightsSource, pb.WeightsSource.ValueType] = {
    WeightsSource.FILE: pb.WEIGHTS_SOURCE_FILE,
    WeightsSource.HUB: pb.WEIGHTS_SOURCE_HUB,
    WeightsSource.RANDOM: pb.WEIGHTS_SOURCE_RANDOM,
    WeightsSource.FIXTURE: pb.WEIGHTS_SOURCE_FIXTURE,
    WeightsSource.DEMO: pb.WEIGHTS_SOURCE_DEMO,
}
DATA_TYPES: Mapping[str, tensor_pb2.DataType.ValueType] = {
    "float32": tensor_pb2.DATA_TYPE_FLOAT32,
    "float16": tensor_pb2.DATA_TYPE_FLOAT16,
    "bfloat16": tensor_pb2.DATA_TYPE_BFLOAT16,
}
SPECIAL_TOKENS = 2

DEFAULTS: Mapping[str, pb.ModelDefaults] = {
    ESM2.name: pb.ModelDefaults(repr_layers=[-1]),
    EVO2.name: pb.ModelDefaults(num_new_tokens=100, temperature=1.0, top_k=4, top_p=1.0),
    PROGEN2.name: pb.ModelDefaults(num_new_tokens=128, temperature=0.8, top_p=0.9),
}


def to_model(
    served: ServedModel, limits: Limits, queue: QueueState | None, *, details: bool
) -> pb.Model:
    """The model; `details` adds its layers and vocabulary."""
    model = pb.Model(
        name=served.name,
        aliases=served.aliases,
        family=FAMILIES[served.family],
        variant=served.variant,
        limits=_limits(served, limits),
        defaults=DEFAULTS[served.family],
        state=STATES[served.state],
        state_detail=served.detail,
        num_queued_tokens=queue.queued_tokens + queue.running_tokens if queue else 0,
    )
    if served.card is not None:
        _describe(model, served.card, details=details)
    return model


def _describe(model: pb.Model, card: ModelCard, *, details: bool) -> None:
    model.variant = card.variant
    model.num_parameters = card.num_parameters
    model.num_attention_heads = card.num_heads
    model.data_type = DATA_TYPES[card.dtype]
    model.device = card.device
    model.outputs.extend(card.outputs)
    model.precision_note = card.precision_note
    model.weights.CopyFrom(
        pb.Weights(
            source=SOURCES[card.weights.source],
            revision=card.weights.revision,
            checksum=card.weights.checksum,
            trained=card.weights.trained,
            verified=card.weights.verified,
        )
    )
    if details:
        model.vocabulary.extend(card.vocabulary)
        model.layers.extend(
            pb.Layer(name=layer.name, index=layer.index, width=layer.width) for layer in card.layers
        )


def _limits(served: ServedModel, limits: Limits) -> pb.ModelLimits:
    return pb.ModelLimits(
        max_sequence_tokens=_max_sequence_tokens(served, limits),
        max_queued_tokens=limits.max_queued_tokens,
        max_batch_tokens=limits.max_batch_tokens,
        max_unary_response_bytes=limits.max_unary_response_bytes,
    )


def _max_sequence_tokens(served: ServedModel, limits: Limits) -> int:
    most = limits.max_residues + SPECIAL_TOKENS
    if served.family == EVO2.name:
        most = limits.max_bases
    own = served.card.max_sequence_tokens if served.card is not None else None
    return most if own is None else min(own, most)
