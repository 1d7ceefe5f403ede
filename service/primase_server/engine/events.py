"""What a ticket yields.

One-shot jobs yield one ItemFinished or ItemFailed for each item, in item order; before it come the
parts of an item that is told piece by piece.
Generation yields, for each (item, sample) pair: one Started, any number of Tokens and Heartbeat,
one Finished or Failed; `sequence_number` counts the events of the pair from 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from primase_server.errors import PrimaseError


@dataclass(frozen=True)
class Timings:
    """Wall-clock seconds. `compute_s` adds up the whole steps that the work shared with others.

    num_steps: that the job was part of until then.
    """

    queue_s: float
    compute_s: float
    total_s: float
    num_steps: int = 0


@dataclass(frozen=True)
class ItemPart:
    """A piece of an item's result, as its `part` made it; pieces come in order of its passes."""

    item_index: int
    value: object


@dataclass(frozen=True)
class ItemFinished:
    """An item's result, as its `finish` made it."""

    item_index: int
    value: object
    timings: Timings


@dataclass(frozen=True)
class ItemFailed:
    """An item's error; the other items go on. Field paths in it are relative to the item."""

    item_index: int
    error: PrimaseError


class FinishReason(Enum):
    """Why a generated sequence ended."""

    LENGTH = "length"
    TERMINAL = "terminal"
    STOP_SEQUENCE = "stop_sequence"


@dataclass(frozen=True)
class _PairEvent:
    item_index: int
    sample_index: int
    sequence_number: int


@dataclass(frozen=True)
class Started(_PairEvent):
    """The pair has its place on the device; `seed` is the one in use."""

    seed: int
    num_prompt_tokens: int


@dataclass(frozen=True)
class Tokens(_PairEvent):
    """All tokens drawn since the last event of the pair; None stands for what was not asked for.

    log_probs, sampled_probs, elapsed_s: [tokens], the last since the token before.
    alternative_ids, alternative_log_probs: [tokens][num_alternatives], most likely first.
    logits: [tokens, vocabulary], as the runner gave them.
    """

    token_ids: tuple[int, ...]
    log_probs: tuple[float, ...] | None = None
    sampled_probs: tuple[float, ...] | None = None
    elapsed_s: tuple[float, ...] | None = None
    alternative_ids: tuple[tuple[int, ...], ...] | None = None
    alternative_log_probs: tuple[tuple[float, ...], ...] | None = None
    logits: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Heartbeat(_PairEvent):
    """A sign of life while nothing is drawn: the place in the queue, or the prompt's progress."""

    queue_position: int
    num_prefilled_tokens: int


@dataclass(frozen=True)
class Finished(_PairEvent):
    """The pair ended as asked.

    num_new_tokens: without a terminal. mass_outside_alphabet: mean probability that the raw logits
    put outside `allowed_tokens`. terminal: the one that was drawn, with what was asked of it.
    new_ids: all tokens of the pair. follow_up: what the job's follow-up made of them.
    """

    reason: FinishReason
    num_new_tokens: int
    timings: Timings
    mass_outside_alphabet: float = 0.0
    terminal: Tokens | None = None
    new_ids: Sequence[int] = ()
    follow_up: object = None


@dataclass(frozen=True)
class Failed(_PairEvent):
    """The pair ended in an error; other pairs go on."""

    error: PrimaseError


Event = ItemPart | ItemFinished | ItemFailed | Started | Tokens | Heartbeat | Finished | Failed
