"""What the scheduler of generation asks a model to read, as models see it."""

from collections.abc import Sequence
from typing import Protocol


class Read(Protocol):
    """What one sequence reads in a step: a chunk of its prompt, or the token that was drawn."""

    @property
    def state(self) -> object: ...

    @property
    def token_ids(self) -> Sequence[int]: ...

    @property
    def wants_logits(self) -> bool: ...

    @property
    def is_drawn(self) -> bool: ...

    @property
    def is_invariant(self) -> bool: ...
