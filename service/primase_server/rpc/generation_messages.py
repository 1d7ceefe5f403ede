"""Events of a generation as messages, for every family."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import TypeVar

import numpy as np

from primase.tensors import to_tensor
from primase.type.v1 import generation_pb2 as pb
from primase.type.v1 import tensor_pb2, usage_pb2
from primase_server.engine.events import Finished, FinishReason, Heartbeat, Tokens
from primase_server.rpc.timings import timings

REASONS: Mapping[FinishReason, pb.FinishReason.ValueType] = {
    FinishReason.LENGTH: pb.FINISH_REASON_LENGTH,
    FinishReason.TERMINAL: pb.FINISH_REASON_TERMINAL,
    FinishReason.STOP_SEQUENCE: pb.FINISH_REASON_STOP_SEQUENCE,
}

Value = TypeVar("Value")


def merged(events: Sequence[Tokens]) -> Tokens:
    """Events of one pair that follow each other, as one."""
    first = events[0]
    if len(events) == 1:
        return first
    logits = [event.logits for event in events if event.logits is not None]
    return Tokens(
        first.item_index,
        first.sample_index,
        first.sequence_number,
        token_ids=tuple(chain.from_iterable(event.token_ids for event in events)),
        log_probs=_joined(event.log_probs for event in events),
        sampled_probs=_joined(event.sampled_probs for event in events),
        elapsed_s=_joined(event.elapsed_s for event in events),
        alternative_ids=_joined(event.alternative_ids for event in events),
        alternative_log_probs=_joined(event.alternative_log_probs for event in events),
        logits=np.concatenate(logits) if logits else None,
    )


def _joined(parts: Iterator[tuple[Value, ...] | None]) -> tuple[Value, ...] | None:
    told = [part for part in parts if part is not None]
    return tuple(chain.from_iterable(told)) if told else None


def tokens(event: Tokens, text: str, resume_token: str = "") -> pb.GeneratedTokens:
    """The tokens with what was asked of them."""
    message = pb.GeneratedTokens(
        text=text,
        token_ids=event.token_ids,
        log_probs=event.log_probs,
        sampled_probs=event.sampled_probs,
        elapsed_ms=None if event.elapsed_s is None else [s * 1000 for s in event.elapsed_s],
        resume_token=resume_token,
    )
    if event.logits is not None:
        message.logits.CopyFrom(to_tensor(event.logits))
    if event.alternative_ids is not None and event.alternative_log_probs is not None:
        ids = np.array(event.alternative_ids, dtype=np.int32)
        message.alternative_ids.CopyFrom(to_tensor(ids, tensor_pb2.DATA_TYPE_INT32))
        message.alternative_log_probs.CopyFrom(to_tensor(np.array(event.alternative_log_probs)))
    return message


def finished(event: Finished, num_prompt_tokens: int) -> pb.GenerationFinished:
    """The end of a sample that ended well; a terminal has no text."""
    usage = usage_pb2.Usage(
        num_prompt_tokens=num_prompt_tokens, num_generated_tokens=event.num_new_tokens
    )
    return pb.GenerationFinished(
        reason=REASONS[event.reason],
        usage=usage,
        timings=timings(event.timings),
        mass_outside_alphabet=event.mass_outside_alphabet,
        terminal=None if event.terminal is None else tokens(event.terminal, ""),
    )


def heartbeat(event: Heartbeat) -> pb.GenerationHeartbeat:
    """That the call is alive."""
    return pb.GenerationHeartbeat(
        queue_position=event.queue_position, num_prefilled_tokens=event.num_prefilled_tokens
    )
