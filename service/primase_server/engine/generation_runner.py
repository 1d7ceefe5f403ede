"""What a generative model does for the scheduler of generation, without its architecture."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from primase_server.engine.sampling import Logits
from primase_server.engine.scheduler import GiveWay


@dataclass(frozen=True)
class Read:
    """Tokens for one sequence to read on from its state: a chunk of a prompt, or the last drawn.

    wants_logits: of its last token. is_drawn: the token was drawn, and more will be, one at a time.
    is_invariant: its numbers may not depend on the other reads.
    """

    state: object
    token_ids: tuple[int, ...]
    wants_logits: bool
    is_drawn: bool
    is_invariant: bool


class GenerationRunner(Protocol):
    """A model on its device; `step`, `fork`, `new_state` are called on the device thread only.

    `out_of_memory_errors` and `device_works` may be there, as of a runner of one-shot work.
    """

    @property
    def chunk_tokens(self) -> int:
        """Prompts are read in chunks that end at multiples of this."""

    def sequence_bytes(self, num_tokens: int) -> int:
        """Bytes of state of one sequence of that length, exactly."""

    def new_state(self, max_tokens: int) -> object:
        """State of an empty sequence that will grow to at most so many tokens."""

    def fork(self, state: object, max_tokens: int) -> object:
        """A copy that goes its own way, to at most so many tokens."""

    def step(self, reads: Sequence[Read], give_way: GiveWay) -> Logits:
        """Read, each state moving on in place: [reads that want logits, vocabulary], raw.

        When it raises, no state has moved on: the same reads may be asked for again.
        """

    def release(self, state: object) -> None:
        """The state will not be used again; at once, from any thread, between two steps."""
