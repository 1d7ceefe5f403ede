"""What ESM-2 requests cost, from their shapes alone."""

from collections.abc import Sequence

import numpy as np

from primase.models.v1 import model_service_pb2 as pb
from primase.type.v1 import tensor_pb2
from primase_server.engine.job import Item
from primase_server.models.esm2.cost import FLOAT32_BYTES, result_bytes
from primase_server.models.esm2.passes import Esm2Pass
from primase_server.models.esm2.runner import Esm2Runner
from primase_server.models.esm2.work import PredictItem
from primase_server.rpc.fitting import largest, refusals
from primase_server.rpc.model_messages import SPECIAL_TOKENS
from primase_server.rpc.unary import BYTES_PER_NUMBER
from primase_server.settings import Limits

# Upper bounds, with the framing of the messages they lie in.
CANDIDATE_BYTES = 16
MASK_BYTES = 16
TOKEN_BYTES = 8


def encode_bytes(items: Sequence[Item], data_type: tensor_pb2.DataType.ValueType) -> int:
    """Bytes of the numbers that Encode answers."""
    return sum(item.num_bytes for item in items) * BYTES_PER_NUMBER[data_type] // FLOAT32_BYTES


def predict_bytes(items: Sequence[PredictItem], *, include_logits: bool) -> int:
    """Bytes that Predict answers: candidates, tokens and, where asked for, logits."""
    return sum(
        item.num_masks * (MASK_BYTES + item.num_candidates * CANDIDATE_BYTES)
        + item.num_tokens * TOKEN_BYTES
        + include_logits * item.num_bytes
        for item in items
    )


def estimate(
    request: pb.EstimateRequest, runner: Esm2Runner, limits: Limits
) -> pb.EstimateResponse:
    """Tokens, memory and answer of the request, and whether an idle server would take it."""
    passes = {length: _pass(request, runner, length) for length in set(request.sequence_lengths)}
    lengths = list(request.sequence_lengths)
    num_tokens = sum(length + SPECIAL_TOKENS for length in lengths)
    response_bytes = sum(_answer_bytes(runner, passes[n], request) for n in lengths)
    longest = passes[max(lengths)]
    problems = _problems(runner, longest, num_tokens, limits)
    return pb.EstimateResponse(
        num_tokens=num_tokens,
        workspace_bytes=max(runner.workspace_bytes(passes[length]) for length in lengths),
        response_bytes=response_bytes,
        fits=not problems,
        fits_unary=not problems and response_bytes <= limits.max_unary_response_bytes,
        max_sequence_length=largest(
            lambda n: not _problems(runner, _pass(request, runner, n), n + SPECIAL_TOKENS, limits),
            limits.max_residues,
        ),
        detail="; ".join(problems),
        max_step_sequences=_step_sequences(runner, longest, limits),
        weights_bytes=runner.config.num_parameters * runner.served.dtype_bytes,
    )


def _step_sequences(runner: Esm2Runner, longest: Esm2Pass, limits: Limits) -> int:
    """How many such passes one step takes, as the scheduler counts them."""
    if longest.num_residues > limits.max_residues:
        return 0
    return min(
        limits.max_batch_tokens // longest.num_tokens,
        limits.max_batch_bytes // runner.workspace_bytes(longest),
    )


def _pass(request: pb.EstimateRequest, runner: Esm2Runner, num_residues: int) -> Esm2Pass:
    """A pass of that length with those outputs; its tokens are one number, seen many times."""
    outputs = set(request.outputs) or {pb.ESTIMATE_OUTPUT_MEAN}
    num_layers = runner.config.num_layers
    vectors = {pb.ESTIMATE_OUTPUT_MEAN, pb.ESTIMATE_OUTPUT_PER_TOKEN, pb.ESTIMATE_OUTPUT_BOS}
    wanted_layers = min(request.num_layers or 1, num_layers + 1) if vectors & outputs else 0
    wants_maps = pb.ESTIMATE_OUTPUT_ATTENTION_MAPS in outputs
    return Esm2Pass(
        np.broadcast_to(np.int64(0), num_residues + SPECIAL_TOKENS),
        repr_layers=tuple(range(num_layers + 1 - wanted_layers, num_layers + 1)),
        mean=pb.ESTIMATE_OUTPUT_MEAN in outputs,
        per_token=pb.ESTIMATE_OUTPUT_PER_TOKEN in outputs,
        bos=pb.ESTIMATE_OUTPUT_BOS in outputs,
        contacts=pb.ESTIMATE_OUTPUT_CONTACTS in outputs,
        logit_rows=None if pb.ESTIMATE_OUTPUT_LOGITS in outputs else (),
        attention_profiles=pb.ESTIMATE_OUTPUT_ATTENTIONS in outputs,
        attention_maps=((num_layers - 1, 0),) * (wants_maps * max(1, request.num_attention_maps)),
    )


def _answer_bytes(runner: Esm2Runner, work: Esm2Pass, request: pb.EstimateRequest) -> int:
    num_bytes = BYTES_PER_NUMBER.get(request.output_data_type, FLOAT32_BYTES)
    return result_bytes(runner.config, work) * num_bytes // FLOAT32_BYTES


def _problems(runner: Esm2Runner, longest: Esm2Pass, num_tokens: int, limits: Limits) -> list[str]:
    """What an idle server would refuse, and by which limit."""
    needs = (
        ("residues in one sequence", longest.num_residues, limits.max_residues),
        ("tokens in one step", longest.num_tokens, limits.max_batch_tokens),
        ("bytes in one step", runner.workspace_bytes(longest), limits.max_batch_bytes),
        ("queued tokens", num_tokens, limits.max_queued_tokens),
    )
    return refusals(needs)
