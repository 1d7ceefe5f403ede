"""Pieces of a decoding step as they were traced on a CPU, for all lanes that are alike.

A trace takes some megabytes, which torch never gives back, and what it saves in so many steps as it
waits for: so only of those kinds of lanes that are used often, and of few.
"""

from collections.abc import Sequence

from torch import Tensor

from primase_server.models.cpu_graph import Repeat, Work, traced

TRACED_AFTER: int | None = 64
"""Steps over lanes of a kind, before its pieces are traced."""

MOST_TRACED = 6
"""Kinds, those that were used so often first."""


class Traces:
    """Those of one decoder. A kind: the number of rows, and whether they are a range of slots."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[int, bool], Kind] = {}

    def kind(self, num_rows: int, *, is_range: bool) -> "Kind":
        """What lanes of that kind share."""
        return self._kinds.setdefault((num_rows, is_range), Kind(self))

    @property
    def has_room(self) -> bool:
        """Whether another kind may be traced."""
        return sum(kind.is_traced for kind in self._kinds.values()) < MOST_TRACED


class Kind:
    """How often lanes that are alike were used, and what was traced of their pieces."""

    def __init__(self, traces: Traces) -> None:
        self.is_traced = False
        self._traces = traces
        self._num_used = 0
        self._repeats: dict[int, Repeat | None] = {}

    def begin(self) -> None:
        """A step begins. Pieces are traced as they run, once it is worth it."""
        self._num_used += 1
        if self._num_used == TRACED_AFTER:
            self.is_traced = self._traces.has_room

    def run(self, index: int, piece: Work, given: Sequence[Tensor]) -> Tensor:
        """What the piece of that place in the step makes of `given`, all that it reads or writes
        and that other lanes have others of."""
        if not self.is_traced:
            return piece()
        if index not in self._repeats:
            self._repeats[index], made = traced(piece, given)
            return made
        repeat = self._repeats[index]
        return piece() if repeat is None else repeat(given)
