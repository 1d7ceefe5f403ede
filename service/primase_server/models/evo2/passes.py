"""One pass through the model: chunks of sequences that go on from where they were."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from primase_server.models.evo2.pooling import Pool, Pooling
from primase_server.models.evo2.state import SequenceState
from primase_server.models.evo2.tokens import Tokens

Float32Array = NDArray[np.float32]
Int32Array = NDArray[np.int32]


class Carry:
    """One sequence on its way through the model: what its next chunk needs of those before.

    state: None before the first chunk, and again after a step that failed half way; the runner
        then reads the tokens again.
    next_log_probs: [512] of the token that comes next, once one chunk was scored.
    pools: by tap.
    chunks: the tokens read so far.
    parent: where the sequence begins as another one does: forked from it when the first chunk runs.
    """

    def __init__(self, parent: "Carry | None" = None) -> None:
        self.parent = parent
        self.state: SequenceState | None = None
        self.next_log_probs: Tensor | None = None
        self.pools: Mapping[str, Pool] = {}
        self.chunks: list[Tokens] = []


@dataclass(frozen=True)
class TapOptions:
    """What is kept of every tap of a read: `window` positions with WINDOW; of the logits, the
    four columns of the bases or all."""

    pooling: Pooling = Pooling.NONE
    window: int = 0
    all_logits: bool = False


@dataclass(frozen=True)
class ScoreOptions:
    """What is said of the tokens of a read, each by the tokens before it, in nats over 512 ids."""

    log_probs: bool = False
    entropies: bool = False
    num_alternatives: int = 0
    bases: bool = False

    def __bool__(self) -> bool:
        return self.log_probs or self.entropies or self.bases or self.num_alternatives > 0


@dataclass(frozen=True, eq=False, slots=True)
class Read:
    """The next chunk of one sequence: uint8 `token_ids` [n], n >= 1, and what is wanted of it.

    `taps` are names that the model gives to its observer, and `unembed`. `is_last`: no more of
    this sequence comes, so that its state is dropped and its pools are closed. `start`: tokens of
    the sequence before these, which only the cost depends on.
    """

    carry: Carry
    token_ids: Tokens
    taps: tuple[str, ...] = ()
    tap_options: TapOptions = TapOptions()
    score: ScoreOptions = ScoreOptions()
    is_last: bool = False
    start: int = 0


@dataclass(frozen=True, eq=False, slots=True)
class Evo2Pass:
    """Reads that run together, each of another sequence.

    A read may fork a carry that another read of the same pass moves on: forks come first.
    `num_bytes` is the memory the pass takes while it runs, results included, states not.
    """

    reads: tuple[Read, ...]
    num_bytes: int = 0

    @property
    def payload(self) -> "Evo2Pass":
        """What the runner is given: the pass itself."""
        return self

    @property
    def num_tokens(self) -> int:
        """Tokens put through the model."""
        return sum(len(read.token_ids) for read in self.reads)


@dataclass(frozen=True, eq=False, slots=True)
class Scores:
    """Of each token of a read, in order; the first of a sequence has nothing before it.

    log_probs                  [n], 0 at the first of a sequence
    entropies                  [n], 0 there
    alternative_ids            [n, alternatives], most likely first; 0 there
    alternative_log_probs      [n, alternatives]; 0 there
    bases                      [n, 4], of A, C, G and T in its place; 0 there

    What was not asked for has no columns, or no rows.
    """

    log_probs: Float32Array
    entropies: Float32Array
    alternative_ids: Int32Array
    alternative_log_probs: Float32Array
    bases: Float32Array


@dataclass(frozen=True, eq=False, slots=True)
class ReadOutput:
    """What one read gave. `layers` has, by tap, the rows that are complete with it, float32
    [k, width]; `scores` where they were asked for."""

    layers: Mapping[str, Float32Array] = field(default_factory=dict)
    scores: Scores | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Evo2Output:
    """What one pass gave: of each of its reads, in order."""

    reads: tuple[ReadOutput, ...]


def require_passes(payloads: Sequence[object]) -> list[Evo2Pass]:
    """The payloads as passes; TypeError when one is anything else."""
    passes = [payload for payload in payloads if isinstance(payload, Evo2Pass)]
    if len(passes) != len(payloads):
        raise TypeError("the Evo 2 runner takes Evo2Pass payloads only")
    return passes


def require_output(output: object) -> Evo2Output:
    """A result of the runner; TypeError when it is anything else."""
    if not isinstance(output, Evo2Output):
        raise TypeError("an Evo 2 item finishes with Evo2Output results only")
    return output
