"""What generation returns: events as they come, or whole samples. Plain frozen values."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from primase.exceptions import PrimaseError
from primase.names import DeterminismName, FinishReasonName
from primase.results import ItemResult, Timings
from primase.tensors import to_array
from primase.type.v1 import generation_pb2 as pb
from primase.type.v1.tensor_pb2 import Tensor

SampleT_co = TypeVar("SampleT_co", covariant=True)

REASONS: dict[int, FinishReasonName] = {
    pb.FINISH_REASON_LENGTH: "length",
    pb.FINISH_REASON_TERMINAL: "terminal",
    pb.FINISH_REASON_STOP_SEQUENCE: "stop_sequence",
}
DETERMINISMS: dict[int, DeterminismName] = {
    pb.DETERMINISM_BATCH_INVARIANT: "batch_invariant",
    pb.DETERMINISM_BEST_EFFORT: "best_effort",
}


@dataclass(frozen=True)
class TokenValues:
    """Some tokens in order; arrays are None where `TokenReport` did not ask for them.

    text: one character for each token.
    token_ids: [tokens] uint32.
    log_probs, sampled_probs, elapsed_ms: [tokens] float32.
    logits: [tokens, vocabulary].
    alternative_ids: [tokens, alternatives] int32, the most likely first.
    alternative_log_probs: the same shape.
    """

    text: str
    token_ids: NDArray[Any]
    log_probs: NDArray[Any] | None
    sampled_probs: NDArray[Any] | None
    elapsed_ms: NDArray[Any] | None
    logits: NDArray[Any] | None
    alternative_ids: NDArray[Any] | None
    alternative_log_probs: NDArray[Any] | None

    @classmethod
    def of(cls, message: pb.GeneratedTokens) -> Self:
        """Those of a message. ValueError where its arrays do not have a row for each token."""
        num_tokens = len(message.token_ids)
        arrays = (
            *map(_numbers, (message.log_probs, message.sampled_probs, message.elapsed_ms)),
            *map(_array, (message.logits, message.alternative_ids, message.alternative_log_probs)),
        )
        if any(array is not None and len(array) != num_tokens for array in arrays):
            raise ValueError(f"the answer does not have a value for each of {num_tokens} tokens")
        return cls(message.text, np.array(message.token_ids, np.uint32), *arrays)

    @classmethod
    def joined(cls, parts: Sequence["TokenValues"]) -> Self:
        """All of them, one after the other; no tokens where there is none."""

        def join(name: str) -> NDArray[Any] | None:
            arrays = [getattr(part, name) for part in parts if part.text]
            return None if not arrays or arrays[0] is None else np.concatenate(arrays)

        ids = join("token_ids")
        return cls(
            "".join(part.text for part in parts),
            np.zeros(0, np.uint32) if ids is None else ids,
            *map(join, _REPORTED),
        )


_REPORTED = [field.name for field in fields(TokenValues)][2:]


@dataclass(frozen=True)
class GenerationEvent:
    """Something of one sample of one prompt.

    index: place of the prompt among all that were given to the call.
    id: as given, or empty.
    sample_index: number of the sample, from 0.
    """

    index: int
    id: str
    sample_index: int


@dataclass(frozen=True)
class Started(GenerationEvent):
    """The sample's first event.

    revision: of the model's weights.
    seed: the one in use, given or picked by the server.
    num_prompt_tokens: special tokens included.
    determinism: the one in use.
    """

    request_id: str
    model: str
    revision: str
    seed: int
    num_prompt_tokens: int
    determinism: DeterminismName | None


@dataclass(frozen=True)
class Tokens(GenerationEvent):
    """New tokens, all that were there when they were sent."""

    values: TokenValues

    @property
    def text(self) -> str:
        """The new text."""
        return self.values.text


@dataclass(frozen=True)
class Finished(GenerationEvent):
    """The sample ended well.

    reason: None where this client does not know it.
    num_generated_tokens: all of the sample's.
    mass_outside_alphabet: mean probability that the raw logits gave to other characters than the
        alphabet's; None of a stream that broke, since the server tells it of one call alone.
    timings: of the last call; zeros where it broke after the last token.
    """

    reason: FinishReasonName | None
    num_generated_tokens: int
    mass_outside_alphabet: float | None
    timings: Timings


@dataclass(frozen=True)
class Failed(GenerationEvent):
    """The sample failed, and no other with it."""

    error: PrimaseError


@dataclass(frozen=True)
class Heartbeat(GenerationEvent):
    """The sample is still waiting.

    queue_position: sequences in front of it; 0 once it runs.
    num_prefilled_tokens: tokens of the prompt that have been read.
    """

    queue_position: int
    num_prefilled_tokens: int


@dataclass(frozen=True)
class Sample:
    """One generated sample: its first event, all its tokens, its last event."""

    started: Started
    tokens: TokenValues
    finished: Finished

    @property
    def text(self) -> str:
        """What was made, without the prompt."""
        return self.tokens.text


@dataclass(frozen=True)
class SampleResult(ItemResult[SampleT_co]):
    """What came of one sample of one prompt. sample_index: its number, from 0."""

    sample_index: int = 0


def _numbers(values: Sequence[float]) -> NDArray[Any] | None:
    return np.array(values, np.float32) if values else None


def _array(tensor: Tensor) -> NDArray[Any] | None:
    return to_array(tensor) if tensor.shape and tensor.shape[0] else None
