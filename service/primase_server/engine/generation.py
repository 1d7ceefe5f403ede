"""Streaming generation: what a caller asks for. Token ids only; text is the edge's affair."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from primase_server.engine.job import Item
from primase_server.engine.quotas import Quotas
from primase_server.errors import PrimaseError

TOKEN_ID_BYTES = 8


class Determinism(Enum):
    """What a seed promises on one device, build and dtype."""

    BEST_EFFORT = "best_effort"
    BATCH_INVARIANT = "batch_invariant"


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn: temperature, then top_k, renormalise, then top_p.

    temperature: 0 is greedy.
    top_k: 0 is off.
    top_p: in (0, 1]; 1 is off.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0


@dataclass(frozen=True)
class TokenReport:
    """What each token carries beside its id; all of it only when asked for."""

    log_probs: bool = False
    sampled_probs: bool = False
    logits: bool = False
    elapsed: bool = False
    num_alternatives: int = 0


class FollowUp(Protocol):
    """One-shot work on each sample that ended well, which the telling of its end waits for."""

    def largest(self, item_index: int) -> Item:
        """Work as large as a sample of that prompt may need, which is reserved with the job."""

    def item(self, item_index: int, new_ids: Sequence[int]) -> Item | None:
        """The work on a sample; None where there is nothing to do."""


@dataclass(frozen=True)
class GenerationJob:
    """Prompts to continue; every (item, sample) pair is a stream of its own.

    prompts: token ids, one row for each item; one already known to be bad is its error, and is
        reported in its place.
    max_new_tokens: for each pair; at least 1.
    stop: a pair ends once its new tokens end with one of these.
    terminals: a pair ends once one of these is drawn, which is told with its end, not as a token.
    allowed_tokens: only these may be drawn; None allows all.
    seed: names the random streams with (item, sample); None lets the engine draw one.
    num_drawn_before: the last so many tokens of every prompt were drawn before, by the same seed:
        the random streams and the search for `stop` go on behind them.
    first_item, first_sample: what the first item and its first sample are called in the names of
        random streams.
    follow_up: what else is done with each sample, never refused once the job is accepted.
    flow, deadline_s, quotas, edition: as in `Job`.
    """

    model: str
    request_id: str
    prompts: Sequence[tuple[int, ...] | PrimaseError]
    max_new_tokens: int
    num_samples: int = 1
    sampling: Sampling = field(default=Sampling())
    stop: tuple[tuple[int, ...], ...] = ()
    terminals: frozenset[int] = frozenset()
    allowed_tokens: frozenset[int] | None = None
    seed: int | None = None
    determinism: Determinism = Determinism.BEST_EFFORT
    report: TokenReport = field(default=TokenReport())
    num_drawn_before: int = 0
    first_item: int = 0
    first_sample: int = 0
    follow_up: FollowUp | None = None
    flow: str = ""
    deadline_s: float | None = None
    quotas: Quotas | None = None
    edition: int = 0

    @property
    def num_pairs(self) -> int:
        """Streams in all."""
        return len(self.prompts) * self.num_samples

    @property
    def num_bytes(self) -> int:
        """Bytes of the prompts while they wait."""
        return TOKEN_ID_BYTES * sum(map(len, self._sound_prompts()))

    @property
    def num_tokens(self) -> int:
        """Tokens at most: each prompt once, then the new tokens of each sample."""
        num_prompt_tokens = sum(map(len, self._sound_prompts()))
        return num_prompt_tokens + self.num_pairs * self.max_new_tokens

    def _sound_prompts(self) -> Iterator[tuple[int, ...]]:
        return (prompt for prompt in self.prompts if not isinstance(prompt, PrimaseError))
