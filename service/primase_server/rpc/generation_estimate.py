"""What a generation costs, from its shape alone, for every family."""

from collections.abc import Callable
from dataclasses import dataclass

from primase.models.v1 import model_service_pb2 as pb
from primase_server.engine.generation import TOKEN_ID_BYTES
from primase_server.errors import InvalidRequest
from primase_server.models.room import Room
from primase_server.rpc.fitting import largest, refusals
from primase_server.rpc.generation_options import SAMPLE_BYTES, TOKEN_BYTES
from primase_server.settings import Limits


@dataclass(frozen=True)
class GenerationCosts:
    """A model, as far as that decides.

    unit: of what a prompt is made, beside its `num_special` tokens; `max_tokens` with the new ones.
    text_bytes: of each of these in an answer, beside the token. state_bytes: of so many tokens.
    read_bytes: of a step that reads the longest chunk of so many. follow_up_tokens: what else is
    read of a sample of so many.
    """

    unit: str
    num_special: int
    max_tokens: int
    default_num_new: int
    text_bytes: int
    state_bytes: Callable[[int], int]
    read_bytes: Callable[[int], int]
    follow_up_tokens: Callable[[int], int] = lambda _: 0


def is_generation(request: pb.EstimateRequest, *follow_ups: pb.EstimateOutput.ValueType) -> bool:
    """Whether a generation is asked about, with some of `follow_ups` or none.

    Raises InvalidRequest where other calls are too.
    """
    outputs = set(request.outputs)
    if pb.ESTIMATE_OUTPUT_GENERATION not in outputs:
        return False
    if outputs - {pb.ESTIMATE_OUTPUT_GENERATION, *follow_ups}:
        names = map(pb.EstimateOutput.Name, follow_ups)
        others = " and ".join(name.removeprefix("ESTIMATE_OUTPUT_") for name in names)
        together = f"with {others} or alone" if others else "alone"
        raise InvalidRequest.at("outputs", f"GENERATION is asked about {together}")
    return True


def estimate(
    request: pb.EstimateRequest,
    costs: GenerationCosts,
    room: Room,
    limits: Limits,
    weights_bytes: int,
) -> pb.EstimateResponse:
    """Tokens, memory and answer of the request, nothing reported but text and ids."""
    lengths = [length + costs.num_special for length in request.sequence_lengths]
    num_samples = request.num_samples or 1
    num_new = request.num_new_tokens or costs.default_num_new
    num_tokens = sum(lengths) + len(lengths) * num_samples * num_new
    after_each = sum(costs.follow_up_tokens(length + num_new) for length in lengths)
    num_follow_up_tokens = num_samples * after_each
    sample_bytes = SAMPLE_BYTES + num_new * TOKEN_BYTES
    text_bytes = sum((length + num_new) * costs.text_bytes for length in lengths)
    response_bytes = num_samples * (len(lengths) * sample_bytes + text_bytes)

    def state_bytes(num_prompt_tokens: int) -> int:
        """Of a prompt and its first sample, which is what it joins with."""
        shared = costs.state_bytes(num_prompt_tokens) if num_samples > 1 else 0
        return shared + costs.state_bytes(num_prompt_tokens + num_new)

    def problems(num_prompt_tokens: int) -> list[str]:
        whole = num_prompt_tokens + num_new - costs.num_special
        most = costs.max_tokens - costs.num_special
        return refusals(
            (
                (f"{costs.unit} in one sequence", whole, most),
                ("bytes of state", state_bytes(num_prompt_tokens), room.state_bytes),
            )
        )

    longest = max(lengths)
    found = problems(longest) + refusals(
        (
            ("queued tokens", num_tokens, limits.max_queued_tokens),
            ("queued tokens to be scored", num_follow_up_tokens, limits.max_queued_tokens),
            ("queued bytes", sum(lengths) * TOKEN_ID_BYTES, limits.max_queued_bytes),
        )
    )
    fits_once = not problems(longest)
    return pb.EstimateResponse(
        num_tokens=num_tokens + num_follow_up_tokens,
        workspace_bytes=costs.read_bytes(longest) + state_bytes(longest),
        response_bytes=response_bytes,
        fits=not found,
        fits_unary=not found and response_bytes <= limits.max_unary_response_bytes,
        max_sequence_length=largest(
            lambda n: n == 0 or not problems(n + costs.num_special), costs.max_tokens
        ),
        detail="; ".join(found),
        max_step_sequences=room.state_bytes // state_bytes(longest) if fits_once else 0,
        weights_bytes=weights_bytes,
    )
