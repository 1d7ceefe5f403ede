"""Pieces of a decoding step as they were traced on a CPU, for all lanes that are alike.

A trace takes some megabytes, and what it saves in so many steps as it waits for: so only of those
kinds of lanes that are used often, and of a few.
"""

from collections.abc import Sequence

from torch import Tensor

from primase_server.models.cpu_graph import Repeat, Work, traced

TRACED_AFTER: int | None = 256
"""Steps over lanes of a kind, before its pieces are traced."""

MOST_TRACED = 8
"""Kinds; the one that was used least lately gives way to another."""


class Traces:
    """Those of one decoder. A kind: the number of rows, and whether they are a range of slots."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[int, bool], Kind] = {}
        self._traced: dict[Kind, None] = {}  # the one used last is the last

    def kind(self, num_rows: int, *, is_range: bool) -> "Kind":
        """What lanes of that kind share."""
        return self._kinds.setdefault((num_rows, is_range), Kind(self))

    def used(self, kind: "Kind") -> None:
        """A step begins over a lane of the kind."""
        kind.num_used += 1
        if not kind.is_traced:
            return
        self._traced.pop(kind, None)
        self._traced[kind] = None
        if len(self._traced) > MOST_TRACED:
            oldest = next(iter(self._traced))
            del self._traced[oldest]
            oldest.forget()


class Kind:
    """How often lanes that are alike were used, and what was traced of their pieces."""

    def __init__(self, traces: Traces) -> None:
        self.num_used = 0
        self._traces = traces
        self._repeats: dict[int, Repeat | None] = {}

    @property
    def is_traced(self) -> bool:
        """Whether pieces are traced as they run, unless they have been."""
        return TRACED_AFTER is not None and self.num_used >= TRACED_AFTER

    def begin(self) -> None:
        """A step begins."""
        self._traces.used(self)

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

    def forget(self) -> None:
        """Give the memory back, and begin to count again."""
        self.num_used = 0
        self._repeats.clear()
