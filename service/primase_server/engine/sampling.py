"""Draws the next token of every row of a batch, each row by its own settings and random number.

temperature, then top_k, renormalise, then top_p, renormalise, draw. A row's result does not depend
on the others: every operation works along the vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from primase_server.engine.generation import Sampling, TokenReport

Logits = Tensor
"""Of one row or of several, as a runner gives them; nothing else in the engine looks inside."""

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Wish:
    """How one row is drawn and what is told of it; `allowed` is None or token ids, ascending."""

    sampling: Sampling
    report: TokenReport
    allowed: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Draws:
    """One entry for each row; what no row of the batch asked for is None.

    log_probs: of the token under the distribution it was drawn from.
    sampled_probs: of the token under the softmax of the raw logits.
    mass_outside: what the softmax of the raw logits puts outside the allowed tokens.
    alternative_ids, alternative_log_probs: [rows, most alternatives asked for], by raw logits.
    logits: [rows, vocabulary], raw float32.
    is_finite: false where a row's logits are not all finite; its other entries mean nothing.
    """

    token_ids: IntArray
    is_finite: NDArray[np.bool_]
    log_probs: FloatArray
    sampled_probs: FloatArray
    mass_outside: FloatArray
    alternative_ids: IntArray | None
    alternative_log_probs: FloatArray | None
    logits: FloatArray | None

    def alternatives(self, row: int, most: int) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """The row's most likely tokens and their log-probabilities, at most so many."""
        if self.alternative_ids is None or self.alternative_log_probs is None:
            return (), ()
        ids, log_probs = self.alternative_ids[row, :most], self.alternative_log_probs[row, :most]
        return tuple(ids.tolist()), tuple(log_probs.tolist())


def draw(logits: Sequence[Logits], wishes: Sequence[Wish], numbers: NDArray[np.float64]) -> Draws:
    """logits: for each row its [vocabulary], raw; numbers: one in [0, 1) for each row."""
    raw = torch.stack(tuple(logits)).float()
    is_finite = raw.isfinite().all(dim=1)
    raw = raw.where(is_finite[:, None], 0.0)
    raw_log_probs = raw.log_softmax(dim=1)
    allowed = _allowed(raw, wishes)
    ordered, ids = _masked(raw, allowed).sort(dim=1, descending=True, stable=True)
    probs = kept_probabilities(ordered, [wish.sampling for wish in wishes])
    places = _places(probs, torch.from_numpy(numbers).to(probs.device))
    token_ids = ids.gather(1, places[:, None])
    log_probs = probs.gather(1, places[:, None]).log()
    sampled = raw_log_probs.gather(1, token_ids).exp()
    outside = raw.new_zeros(len(raw)) if allowed is None else _mass(raw_log_probs, ~allowed)
    num_alternatives = max(wish.report.num_alternatives for wish in wishes)
    best = raw_log_probs.topk(num_alternatives, dim=1) if num_alternatives else None
    return Draws(
        token_ids=token_ids[:, 0].cpu().numpy(),
        is_finite=is_finite.cpu().numpy(),
        log_probs=log_probs[:, 0].float().cpu().numpy(),
        sampled_probs=sampled[:, 0].cpu().numpy(),
        mass_outside=outside.cpu().numpy(),
        alternative_ids=best.indices.cpu().numpy() if best else None,
        alternative_log_probs=best.values.cpu().numpy() if best else None,
        logits=raw.cpu().numpy() if any(wish.report.logits for wish in wishes) else None,
    )


def kept_probabilities(ordered: Tensor, settings: Sequence[Sampling]) -> Tensor:
    """ordered: [rows, vocabulary] logits, each row descending -> probabilities that are drawn from.

    float64, 0 where filtered. Temperature 0 keeps the first.
    """
    device, width = ordered.device, ordered.shape[1]

    def column(values: list[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float64, device=device)[:, None]

    temperature = column([s.temperature if s.temperature > 0 else 1.0 for s in settings])
    top_k = column([1 if s.temperature == 0 else s.top_k or width for s in settings])
    top_p = column([s.top_p for s in settings])
    rank = torch.arange(width, device=device)
    scaled = (ordered.double() / temperature).masked_fill(rank >= top_k, -torch.inf)
    probs = scaled.softmax(dim=1)
    before = probs.cumsum(dim=1) - probs
    probs = probs.masked_fill((before >= top_p) & (rank > 0) & (top_p < 1), 0.0)
    return probs / probs.sum(dim=1, keepdim=True)


def _places(probs: Tensor, numbers: Tensor) -> Tensor:
    """Where in its row each number falls, if the row's probabilities are laid end to end."""
    places = (probs.cumsum(dim=1) <= numbers[:, None]).sum(dim=1)
    last_kept = (probs > 0).sum(dim=1) - 1
    return places.minimum(last_kept)


def _allowed(raw: Tensor, wishes: Sequence[Wish]) -> Tensor | None:
    """[rows, vocabulary] True where a token may be drawn; None where every one may."""
    if all(wish.allowed is None for wish in wishes):
        return None
    allowed = np.ones(raw.shape, dtype=bool)
    for row, wish in enumerate(wishes):
        if wish.allowed is not None:
            allowed[row] = False
            allowed[row, list(wish.allowed)] = True
    return torch.from_numpy(allowed).to(raw.device)


def _masked(raw: Tensor, allowed: Tensor | None) -> Tensor:
    return raw if allowed is None else raw.masked_fill(~allowed, -torch.inf)


def _mass(log_probs: Tensor, where: Tensor) -> Tensor:
    return log_probs.exp().masked_fill(~where, 0.0).sum(dim=1)
