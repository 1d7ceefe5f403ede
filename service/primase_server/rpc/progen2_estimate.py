"""What ProGen2 requests cost, from their shapes alone."""

from collections.abc import Sequence

from primase.models.v1 import model_service_pb2 as pb
from primase_server.errors import InvalidRequest
from primase_server.models.progen2.generator import CHUNK_TOKENS
from primase_server.models.progen2.score import DIRECTIONS, ScoreItem
from primase_server.models.progen2.served import ProGen2Served
from primase_server.models.room import Room
from primase_server.rpc.fitting import largest, refusals
from primase_server.rpc.generation_estimate import GenerationCosts
from primase_server.rpc.progen2_generate import DEFAULT_NUM_RESIDUES, LIKELIHOOD_BYTES
from primase_server.settings import Limits

SCORE_BYTES = LIKELIHOOD_BYTES + 64
"""Of an answer: all of one protein but its values per residue and the caller's name of it."""

PROMPT_TERMINALS = 1


def score_bytes(items: Sequence[ScoreItem]) -> int:
    """Bytes that ScoreSequences answers, but for the callers' own names of the proteins."""
    return sum(SCORE_BYTES + item.num_result_bytes for item in items)


def generation_costs(served: ProGen2Served, *, likelihood: bool) -> GenerationCosts:
    """Of that model, with the likelihood of what is made or without."""

    def score_tokens(num_tokens: int) -> int:
        return ScoreItem.of_length(served, num_tokens - PROMPT_TERMINALS).num_tokens

    return GenerationCosts(
        unit="residues",
        num_special=PROMPT_TERMINALS,
        # which is scored from terminal to terminal
        max_tokens=served.max_tokens - likelihood,
        default_num_new=DEFAULT_NUM_RESIDUES,
        text_bytes=1,
        state_bytes=served.state_bytes,
        read_bytes=lambda num_tokens: _read_bytes(served, num_tokens),
        follow_up_tokens=score_tokens if likelihood else lambda _: 0,
    )


def _read_bytes(served: ProGen2Served, num_tokens: int) -> int:
    """Of the widest chunk of a context: the last whole one."""
    num_before = max(0, num_tokens // CHUNK_TOKENS - 1) * CHUNK_TOKENS
    return served.chunk_bytes(min(num_tokens, CHUNK_TOKENS), num_before)


def estimate_score(
    request: pb.EstimateRequest,
    served: ProGen2Served,
    room: Room,
    limits: Limits,
    weights_bytes: int,
) -> pb.EstimateResponse:
    """Tokens, memory and answer of scoring in both directions, and whether an idle server would.

    Raises InvalidRequest for outputs of other families.
    """
    for index, output in enumerate(request.outputs):
        if output != pb.ESTIMATE_OUTPUT_SCORE:
            raise InvalidRequest.at(f"outputs[{index}]", "ProGen2 has GENERATION and SCORE only")
    items = [ScoreItem.of_length(served, length) for length in request.sequence_lengths]
    longest = max(items, key=lambda item: item.num_residues)
    problems = _problems(longest, items, served, room, limits)
    return pb.EstimateResponse(
        num_tokens=sum(item.num_tokens for item in items),
        workspace_bytes=_pass_bytes(longest) * DIRECTIONS,
        response_bytes=score_bytes(items),
        fits=not problems,
        fits_unary=not problems and score_bytes(items) <= limits.max_unary_response_bytes,
        max_sequence_length=largest(
            lambda n: n == 0 or _fits(ScoreItem.of_length(served, n), served, room, limits),
            served.max_residues,
        ),
        detail="; ".join(problems),
        max_step_sequences=_step_sequences(longest, served, room, limits),
        weights_bytes=weights_bytes,
    )


def _pass_bytes(item: ScoreItem) -> int:
    return item.served.workspace_bytes(_pass_tokens(item))


def _pass_tokens(item: ScoreItem) -> int:
    return item.num_tokens // DIRECTIONS


def _fits(item: ScoreItem, served: ProGen2Served, room: Room, limits: Limits) -> bool:
    return not _problems(item, [item], served, room, limits)


def _problems(
    longest: ScoreItem,
    items: Sequence[ScoreItem],
    served: ProGen2Served,
    room: Room,
    limits: Limits,
) -> list[str]:
    """What an idle server would refuse, and by which limit."""
    return refusals(
        (
            ("residues in one protein", longest.num_residues, served.max_residues),
            ("tokens in one step", _pass_tokens(longest), limits.max_batch_tokens),
            ("bytes in one step", _pass_bytes(longest), room.batch_bytes),
            ("queued tokens", sum(item.num_tokens for item in items), limits.max_queued_tokens),
            ("queued bytes", sum(item.num_bytes for item in items), limits.max_queued_bytes),
        )
    )


def _step_sequences(longest: ScoreItem, served: ProGen2Served, room: Room, limits: Limits) -> int:
    """How many such proteins one step takes, as the scheduler counts them."""
    if not _fits(longest, served, room, limits):
        return 0
    return min(
        limits.max_batch_tokens // longest.num_tokens,
        room.batch_bytes // (DIRECTIONS * _pass_bytes(longest)),
    )
