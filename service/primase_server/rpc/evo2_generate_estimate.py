"""What a generation of Evo 2 costs, from its shape alone."""

from primase.models.v1 import model_service_pb2 as pb
from primase_server.engine.generation import TOKEN_ID_BYTES
from primase_server.errors import InvalidRequest
from primase_server.models.evo2.work import Evo2Served, ForwardItem, ForwardOptions, Pooling
from primase_server.models.room import Room
from primase_server.rpc.evo2_generate import DEFAULT_NUM_TOKENS
from primase_server.rpc.fitting import largest, refusals
from primase_server.rpc.generation_options import SAMPLE_BYTES, TOKEN_BYTES
from primase_server.settings import Limits


def is_generation(request: pb.EstimateRequest) -> bool:
    """Whether a generation is asked about. Raises InvalidRequest where other calls are too."""
    outputs = list(request.outputs)
    if pb.ESTIMATE_OUTPUT_GENERATION not in outputs:
        return False
    if set(outputs) != {pb.ESTIMATE_OUTPUT_GENERATION}:
        raise InvalidRequest.at("outputs", "GENERATION is asked about alone")
    return True


def estimate(
    request: pb.EstimateRequest, served: Evo2Served, room: Room, limits: Limits, weights_bytes: int
) -> pb.EstimateResponse:
    """Tokens, memory and answer of the request, nothing reported but text and ids."""
    lengths = list(request.sequence_lengths)
    num_samples = request.num_samples or 1
    num_new = request.num_new_tokens or DEFAULT_NUM_TOKENS
    num_tokens = sum(lengths) + len(lengths) * num_samples * num_new
    response_bytes = len(lengths) * num_samples * (SAMPLE_BYTES + num_new * TOKEN_BYTES)

    def state_bytes(num_bases: int) -> int:
        """Of a prompt and its first sample, which is what it joins with."""
        shared = served.state_bytes(num_bases) if num_samples > 1 else 0
        return shared + served.state_bytes(num_bases + num_new)

    def problems(num_bases: int) -> list[str]:
        return refusals(
            (
                ("bases in one sequence", num_bases + num_new, served.max_bases),
                ("bytes of state", state_bytes(num_bases), room.state_bytes),
            )
        )

    longest = max(lengths)
    found = problems(longest) + refusals(
        (
            ("queued tokens", num_tokens, limits.max_queued_tokens),
            ("queued bytes", sum(lengths) * TOKEN_ID_BYTES, limits.max_queued_bytes),
        )
    )
    fits_once = not problems(longest)
    return pb.EstimateResponse(
        num_tokens=num_tokens,
        workspace_bytes=_chunk_bytes(served, longest) + state_bytes(longest),
        response_bytes=response_bytes,
        fits=not found,
        fits_unary=not found and response_bytes <= limits.max_unary_response_bytes,
        max_sequence_length=largest(lambda n: n == 0 or not problems(n), served.max_bases),
        detail="; ".join(found),
        max_step_sequences=room.state_bytes // state_bytes(longest) if fits_once else 0,
        weights_bytes=weights_bytes,
    )


def _chunk_bytes(served: Evo2Served, num_bases: int) -> int:
    """Of a step that reads the longest chunk of the prompt."""
    num_bases = min(num_bases, served.chunk_tokens)
    options = ForwardOptions.build(served, ["norm"], Pooling.LAST)
    item = ForwardItem.build(served, "A" * num_bases, options)
    return max(work.num_bytes for work in item.passes())
