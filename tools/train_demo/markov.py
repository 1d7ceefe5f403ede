"""Markov models of DNA by counting: the bar that evo2-demo has to clear, and its teacher.

Order k is blended into the orders below it,

    p_k(x | context) = (count_k(context, x) + weight * p_{k-1}(x | shorter context))
                       / (count_k(context) + weight)

down to equal shares. With phases, all counts are kept apart by the coding phase of the predicted
base, which a reader of bare sequence does not know.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tools.train_demo.genome import Stretch

Floats = npt.NDArray[np.float32]
Codes = npt.NDArray[np.int64]

_DENSE_ORDER = 11  # of higher ones, counts are kept sorted


class Counts:
    """How often each base followed each context of `order` bases (and phase)."""

    def __init__(self, contexts: Codes, bases: Codes, num_contexts: int) -> None:
        """contexts: [n], below num_contexts; bases: [n]."""
        self._dense = num_contexts <= 7 * 4**_DENSE_ORDER
        codes = contexts * 4 + bases
        if self._dense:
            self._table = np.bincount(codes, minlength=num_contexts * 4).astype(np.int32)
        else:
            self._keys, self._values = np.unique(codes, return_counts=True)

    def of(self, contexts: Codes) -> Floats:
        """[n] -> [n, 4]."""
        codes = contexts[:, None] * 4 + np.arange(4)
        if self._dense:
            found: Floats = self._table[codes].astype(np.float32)
            return found
        places = np.minimum(np.searchsorted(self._keys, codes), len(self._keys) - 1)
        return np.where(self._keys[places] == codes, self._values[places], 0).astype(np.float32)


class Markov:
    """A blended model of orders 0 to `order`."""

    def __init__(self, stretches: Sequence[Stretch], order: int, *, phased: bool = False) -> None:
        self.order, self.phased = order, phased
        self._counts = []
        for k in range(order + 1):
            read = [_contexts(one, k, phased) for one in stretches]
            contexts = np.concatenate([contexts[known] for contexts, known in read])
            bases = np.concatenate(
                [one.bases[known] for one, (_, known) in zip(stretches, read, strict=True)]
            )
            self._counts.append(
                Counts(contexts, bases.astype(np.int64), (8 if phased else 1) * 4**k)
            )

    def probabilities(
        self, stretch: Stretch, weights: Sequence[float], *, leave_out: bool = False
    ) -> Floats:
        """[n, 4]; weights: that of each order from 0.

        `leave_out` takes out the base's own count, where the stretch was counted.
        """
        n = len(stretch)
        blended = np.full((n, 4), 0.25, np.float32)
        own = np.zeros((n, 4), np.float32)
        if leave_out:
            known = stretch.bases < 4
            own[np.flatnonzero(known), stretch.bases[known]] = 1
        for k, weight in enumerate(weights):
            contexts, known = _contexts(stretch, k, self.phased)
            known = _context_known(stretch, k)
            counts = self._counts[k].of(contexts[known]) - own[known]
            np.maximum(counts, 0, out=counts)
            total = counts.sum(1, keepdims=True)
            blended[known] = (counts + weight * blended[known]) / (total + weight)
        return blended

    def additive(self, stretch: Stretch, order: int, pseudo: float) -> Floats:
        """[n, 4]: (count + pseudo) / (total + 4 pseudo) at one order, without blending."""
        contexts, _ = _contexts(stretch, order, self.phased)
        counts = self._counts[order].of(contexts) + np.float32(pseudo)
        found: Floats = counts / counts.sum(1, keepdims=True)
        return found


def bits(probabilities: Floats, stretch: Stretch) -> Floats:
    """-log2 p of each base that is known: [n]."""
    known = np.flatnonzero(stretch.bases < 4)
    found: Floats = -np.log2(probabilities[known, stretch.bases[known]])
    return found


def _context_known(stretch: Stretch, order: int) -> npt.NDArray[np.bool_]:
    unknown = np.cumsum(np.concatenate([[0], stretch.bases >= 4]))
    places = np.arange(len(stretch))
    none: npt.NDArray[np.bool_] = unknown[places] == unknown[np.maximum(places - order, 0)]
    return (places >= order) & none


def _contexts(stretch: Stretch, order: int, phased: bool) -> tuple[Codes, npt.NDArray[np.bool_]]:
    # code of the `order` bases before each place, and where they and the base itself are known
    bases = np.where(stretch.bases < 4, stretch.bases, 0).astype(np.int64)
    codes = np.zeros(len(bases), np.int64)
    for lag in range(1, order + 1):
        codes[lag:] += bases[:-lag] << 2 * (lag - 1)
    if phased:
        codes += stretch.phases.astype(np.int64) << 2 * order
    return codes, _context_known(stretch, order) & (stretch.bases < 4)
