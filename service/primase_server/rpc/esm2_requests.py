"""ESM-2 requests as work items."""

from collections.abc import Callable, Mapping, Set

from primase.esm2.v1 import esm2_service_pb2 as pb
from primase.type.v1 import tensor_pb2
from primase_server.errors import InvalidRequest
from primase_server.models.esm2.predict import DEFAULT_NUM_CANDIDATES
from primase_server.models.esm2.work import (
    EncodeItem,
    Esm2Served,
    Include,
    MultiMutant,
    PredictItem,
    ScoreItem,
    ScoreMode,
    VariantMethod,
    VariantsItem,
)
from primase_server.rpc.enums import choice

INCLUDES: Mapping[int, Include] = {
    pb.INCLUDE_UNSPECIFIED: Include.MEAN,
    pb.INCLUDE_MEAN: Include.MEAN,
    pb.INCLUDE_PER_TOKEN: Include.PER_TOKEN,
    pb.INCLUDE_BOS: Include.BOS,
    pb.INCLUDE_CONTACTS: Include.CONTACTS,
    pb.INCLUDE_LOGITS: Include.LOGITS,
    pb.INCLUDE_ATTENTIONS: Include.ATTENTIONS,
    pb.INCLUDE_ATTENTION_MAPS: Include.ATTENTION_MAPS,
}
SCORE_MODES: Mapping[int, ScoreMode] = {
    pb.SCORE_MODE_UNSPECIFIED: ScoreMode.PSEUDO,
    pb.SCORE_MODE_ONE_PASS: ScoreMode.ONE_PASS,
    pb.SCORE_MODE_PSEUDO: ScoreMode.PSEUDO,
}
VARIANT_METHODS: Mapping[int, VariantMethod] = {
    pb.VARIANT_METHOD_UNSPECIFIED: VariantMethod.MASKED_MARGINAL,
    pb.VARIANT_METHOD_WILDTYPE_MARGINAL: VariantMethod.WILDTYPE_MARGINAL,
    pb.VARIANT_METHOD_MASKED_MARGINAL: VariantMethod.MASKED_MARGINAL,
}
FLOAT_TYPES: Mapping[int, tensor_pb2.DataType.ValueType] = {
    tensor_pb2.DATA_TYPE_UNSPECIFIED: tensor_pb2.DATA_TYPE_FLOAT32,
    tensor_pb2.DATA_TYPE_FLOAT32: tensor_pb2.DATA_TYPE_FLOAT32,
    tensor_pb2.DATA_TYPE_FLOAT16: tensor_pb2.DATA_TYPE_FLOAT16,
    tensor_pb2.DATA_TYPE_BFLOAT16: tensor_pb2.DATA_TYPE_BFLOAT16,
}
MULTI_MUTANTS: Mapping[int, MultiMutant] = {
    pb.MULTI_MUTANT_UNSPECIFIED: MultiMutant.WILDTYPE_FILL,
    pb.MULTI_MUTANT_WILDTYPE_FILL: MultiMutant.WILDTYPE_FILL,
    pb.MULTI_MUTANT_MASK_ALL: MultiMutant.MASK_ALL,
}


def float_type(options: pb.EncodeOptions) -> tensor_pb2.DataType.ValueType:
    """The type that the numbers are sent in. Raises InvalidRequest for an integer type."""
    return choice(FLOAT_TYPES, options.output_data_type, "options.output_data_type")


def check_options(options: pb.EncodeOptions, served: Esm2Served) -> None:
    """Raise the errors that would fail every item alike, so that they fail the call instead."""
    include = _include(options)
    try:
        served.resolve_layers(_layers(options))
        served.check_attention_heads(_heads(options))
    except InvalidRequest as error:
        raise error.under("options") from error
    if Include.ATTENTION_MAPS in include and not options.attention_heads:
        raise InvalidRequest.at("options.attention_heads", "name at least one for ATTENTION_MAPS")
    served.require(contacts=Include.CONTACTS in include, logits=Include.LOGITS in include)


def encode_builder(
    options: pb.EncodeOptions, served: Esm2Served
) -> Callable[[pb.EncodeItem], EncodeItem]:
    """How an entry of Encode becomes work."""
    layers, include, heads = _layers(options), _include(options), _heads(options)
    return lambda entry: EncodeItem.build(served, entry.sequence, layers, include, heads)


def predict_builder(
    request: pb.PredictRequest, served: Esm2Served
) -> Callable[[pb.PredictItem], PredictItem]:
    """How an entry of Predict becomes work."""
    given = request.HasField("num_candidates")
    num_candidates = request.num_candidates if given else DEFAULT_NUM_CANDIDATES
    return lambda entry: PredictItem.build(served, entry.sequence, num_candidates)


def score_builder(
    request: pb.StreamScoreSequencesRequest, served: Esm2Served
) -> Callable[[pb.EncodeItem], ScoreItem]:
    """How an entry of StreamScoreSequences becomes work."""
    mode = choice(SCORE_MODES, request.mode, "mode")
    return lambda entry: ScoreItem.build(served, entry.sequence, mode)


def variants_builder(
    request: pb.StreamScoreVariantsRequest, served: Esm2Served
) -> Callable[[pb.VariantsItem], VariantsItem]:
    """How an entry of StreamScoreVariants becomes work."""
    method = choice(VARIANT_METHODS, request.method, "method")
    multi = choice(MULTI_MUTANTS, request.multi_mutant, "multi_mutant")
    return lambda entry: VariantsItem.build(
        served, entry.sequence, tuple(entry.variants), method, multi
    )


def _layers(options: pb.EncodeOptions) -> tuple[int, ...]:
    return tuple(options.repr_layers) or (-1,)


def _include(options: pb.EncodeOptions) -> Set[Include]:
    numbers = options.include or [pb.INCLUDE_MEAN]
    return {
        choice(INCLUDES, number, f"options.include[{index}]")
        for index, number in enumerate(numbers)
    }


def _heads(options: pb.EncodeOptions) -> tuple[tuple[int, int], ...]:
    return tuple((head.layer, head.head) for head in options.attention_heads)
