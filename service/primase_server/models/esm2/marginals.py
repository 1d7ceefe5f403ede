"""Log-probabilities at chosen positions of a sequence, under chosen masks."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from primase_server.models.esm2.alphabet import BOS_ID, EOS_ID, MASK_ID, STANDARD_20
from primase_server.models.esm2.config import VOCABULARY_SIZE
from primase_server.models.esm2.cost import FLOAT32_BYTES
from primase_server.models.esm2.passes import Esm2Pass, require_outputs
from primase_server.models.esm2.probabilities import Float64Array, standard_log_probabilities
from primase_server.models.esm2.served import Esm2Served
from primase_server.models.esm2.windows import Windows, cover

OUTPUT_OBJECT_BYTES = 512
"""Of an output with a row or two of logits, most is the Python object around it."""


@dataclass(frozen=True)
class Query:
    """Read the distributions at `read` while `masked` are masked; 0-based residues, ascending."""

    masked: tuple[int, ...]
    read: tuple[int, ...]


@dataclass(frozen=True)
class _Part:
    """The share of a query that falls into one window."""

    window: int
    rows: slice  # of the query's reads


@dataclass(frozen=True, eq=False)
class Marginals:
    """Queries over one sequence, one pass for each query and window it reads in."""

    served: Esm2Served
    residue_ids: NDArray[np.int64]
    queries: Sequence[Query]
    windows: Windows

    @classmethod
    def over(
        cls, served: Esm2Served, token_ids: NDArray[np.int64], queries: Sequence[Query]
    ) -> "Marginals":
        """Queries over `<cls> residues <eos>`, in windows where it is long."""
        return cls(served, token_ids[1:-1], queries, cover(len(token_ids) - 2))

    @cached_property
    def num_tokens(self) -> int:
        """Tokens over all passes."""
        spans = list(self.windows.spans())
        lengths = [stop - start + 2 for start, stop in spans]
        return sum(lengths[part.window] for query in self.queries for part in self._parts(query))

    @cached_property
    def num_output_bytes(self) -> int:
        """Bytes of the outputs of all passes."""
        row_bytes = VOCABULARY_SIZE * FLOAT32_BYTES
        return sum(
            OUTPUT_OBJECT_BYTES + (part.rows.stop - part.rows.start) * row_bytes
            for query in self.queries
            for part in self._parts(query)
        )

    def passes(self) -> Iterator[Esm2Pass]:
        """The passes, made one at a time."""
        for query in self.queries:
            for part in self._parts(query):
                yield self._pass_for(query, part)

    def log_probabilities(self, outputs: Sequence[object]) -> Iterator[Float64Array]:
        """For each query, [reads, 20] over the standard residues, from the passes' outputs."""
        results = iter(require_outputs(outputs))
        for query in self.queries:
            blended = np.zeros((len(query.read), len(STANDARD_20)))
            for part in self._parts(query):
                logits = next(results).logits
                if logits is None:
                    raise TypeError("marginals finish with logits")
                weights = self.windows.weights[part.window][self._rows_in(query, part)]
                blended[part.rows] += weights[:, None] * standard_log_probabilities(logits)
            yield blended

    def _parts(self, query: Query) -> Iterator[_Part]:
        first = self.windows.containing(query.read[0]).start
        last = self.windows.containing(query.read[-1]).stop
        for window in range(first, last):
            bounds = (self.windows.starts[window], self.windows.stops[window])
            begin, end = (bisect_left(query.read, bound) for bound in bounds)
            if begin < end:
                yield _Part(window, slice(begin, end))

    def _rows_in(self, query: Query, part: _Part) -> NDArray[np.int64]:
        return np.array(query.read[part.rows]) - self.windows.starts[part.window]

    def _pass_for(self, query: Query, part: _Part) -> Esm2Pass:
        start, stop = self.windows.starts[part.window], self.windows.stops[part.window]
        token_ids = np.concatenate(([BOS_ID], self.residue_ids[start:stop], [EOS_ID]))
        masked = [position - start + 1 for position in query.masked if start <= position < stop]
        token_ids[masked] = MASK_ID
        rows = tuple(self._rows_in(query, part).tolist())
        return self.served.sized(Esm2Pass(token_ids, logit_rows=rows))
