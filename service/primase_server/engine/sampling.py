"""Draws the next token of every row of a batch, each row by its own settings and random number.

temperature, then top_k, renormalise, then top_p, renormalise, draw. A row's result does not depend
on the others: every operation works along the vocabulary. All of it happens where the logits are:
settings and random numbers go there at once, and what was found comes back in one piece, which is
the only time that a step waits for the device.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from primase_server.engine.generation import Sampling, TokenReport

Logits = Tensor
"""Of one row or of several, as a runner gives them; nothing else in the engine looks inside."""

NARROW = 64
"""Rows that keep no more than so many are sorted no further."""

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
    settings = _sent(_columns([wish.sampling for wish in wishes], numbers), raw.device)
    is_finite = raw.isfinite().all(dim=1)
    raw = raw.where(is_finite[:, None], 0.0)
    raw_log_probs = raw.log_softmax(dim=1)
    allowed = _allowed(raw, wishes)
    token_ids, log_probs = _drawn(_masked(raw, allowed), wishes, settings)
    sampled = raw_log_probs.gather(1, token_ids).exp()
    outside = raw.new_zeros(len(raw)) if allowed is None else _mass(raw_log_probs, ~allowed)
    num_alternatives = max(wish.report.num_alternatives for wish in wishes)
    best = raw_log_probs.topk(num_alternatives, dim=1) if num_alternatives else None
    found = [token_ids, is_finite[:, None], log_probs, sampled, outside[:, None]]
    found += [*best] if best else []
    found += [raw] if any(wish.report.logits for wish in wishes) else []
    return _draws(_read(found), num_alternatives)


def _drawn(raw: Tensor, wishes: Sequence[Wish], settings: Tensor) -> tuple[Tensor, Tensor]:
    """Token ids and their log-probabilities, [rows, 1] each; see `_columns` for the settings.

    How a sum is rounded depends on its width, so a row's own settings decide which that is.
    """
    is_narrow = np.array([0 < _num_kept(wish.sampling) <= NARROW for wish in wishes])
    widths = {True: min(NARROW, raw.shape[1]), False: raw.shape[1]}
    if is_narrow.all() or not is_narrow.any():
        return _drawn_from(raw, settings, widths[bool(is_narrow[0])])
    token_ids = torch.empty(len(raw), 1, dtype=torch.int64, device=raw.device)
    log_probs = torch.empty_like(token_ids, dtype=torch.float64)
    for narrow, width in widths.items():
        rows = _sent(np.flatnonzero(is_narrow == narrow), raw.device)
        token_ids[rows], log_probs[rows] = _drawn_from(raw[rows], settings[rows], width)
    return token_ids, log_probs


def _drawn_from(raw: Tensor, settings: Tensor, width: int) -> tuple[Tensor, Tensor]:
    ids = _largest(raw, width)
    probs = _kept(raw.gather(1, ids), settings)
    places = _places(probs, settings[:, 3])[:, None]
    return ids.gather(1, places), probs.gather(1, places).log()


def _largest(raw: Tensor, count: int) -> Tensor:
    """Where the largest of each row are, descending, the first of equals first: [rows, count]."""
    width = raw.shape[1]
    if count == width:
        return raw.sort(dim=1, descending=True, stable=True).indices
    bits = (raw + 0.0).view(torch.int32)  # no -0.0
    rising = bits ^ ((bits >> 31) & 0x7FFFFFFF)  # integers in the order of the numbers
    backwards = torch.arange(width - 1, -1, -1, device=raw.device)
    keys = (rising.long() << 32) | backwards
    return width - 1 - (keys.topk(count, dim=1).values & 0xFFFFFFFF)


def kept_probabilities(ordered: Tensor, settings: Sequence[Sampling]) -> Tensor:
    """ordered: [rows, vocabulary] logits, each row descending -> probabilities that are drawn from.

    float64, 0 where filtered. Temperature 0 keeps the first.
    """
    return _kept(ordered, _sent(_columns(settings, np.zeros(len(settings))), ordered.device))


def _kept(ordered: Tensor, settings: Tensor) -> Tensor:
    """settings: as `_columns` has them."""
    temperature, top_k, top_p, _ = settings.split(1, dim=1)
    rank = torch.arange(ordered.shape[1], device=ordered.device)
    scaled = (ordered.double() / temperature).masked_fill(rank >= top_k, -torch.inf)
    probs = scaled.softmax(dim=1)
    before = probs.cumsum(dim=1) - probs
    probs = probs.masked_fill((before >= top_p) & (rank > 0) & (top_p < 1), 0.0)
    kept: Tensor = probs / probs.sum(dim=1, keepdim=True)
    return kept


def _columns(settings: Sequence[Sampling], numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """[rows, 4]: temperature, top_k, top_p and the random number. Infinite top_k keeps all."""
    rows = [(s.temperature or 1.0, _num_kept(s) or np.inf, s.top_p) for s in settings]
    return np.column_stack([np.array(rows), numbers])


def _num_kept(sampling: Sampling) -> int:
    """By top_k; 0 is all."""
    return 1 if sampling.temperature == 0 else sampling.top_k


def _places(probs: Tensor, numbers: Tensor) -> Tensor:
    """Where in its row each number falls, if the row's probabilities are laid end to end."""
    places = (probs.cumsum(dim=1) <= numbers[:, None]).sum(dim=1)
    last_kept = (probs > 0).sum(dim=1) - 1
    return places.minimum(last_kept)


def _allowed(raw: Tensor, wishes: Sequence[Wish]) -> Tensor | None:
    """[rows, vocabulary] True where a token may be drawn; None where every one may."""
    if all(wish.allowed is None for wish in wishes):
        return None
    width, device = raw.shape[1], raw.device
    return torch.stack([_allowed_row(wish.allowed, width, device) for wish in wishes])


@lru_cache(maxsize=64)
def _allowed_row(allowed: tuple[int, ...] | None, width: int, device: torch.device) -> Tensor:
    row = np.full(width, allowed is None)
    row[list(allowed or ())] = True
    return _sent(row, device)


def _masked(raw: Tensor, allowed: Tensor | None) -> Tensor:
    return raw if allowed is None else raw.masked_fill(~allowed, -torch.inf)


def _mass(log_probs: Tensor, where: Tensor) -> Tensor:
    return log_probs.exp().masked_fill(~where, 0.0).sum(dim=1)


def _sent(array: NDArray[np.generic], device: torch.device) -> Tensor:
    """The array on the device, without waiting for what runs there."""
    tensor = torch.from_numpy(array)
    if device.type == "cpu":
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True)


def _read(found: Sequence[Tensor]) -> list[NDArray[np.float64]]:
    """What was found of each row, [rows, any] of any type, in float64, which holds all of them."""
    widths = np.cumsum([part.shape[1] for part in found[:-1]])
    together = torch.cat([part.double() for part in found], dim=1).cpu().numpy()
    return np.split(together, widths, axis=1)


def _draws(found: Sequence[NDArray[np.float64]], num_alternatives: int) -> Draws:
    token_ids, is_finite, log_probs, sampled, outside, *rest = found
    best = (rest.pop(0), rest.pop(0)) if num_alternatives else None
    return Draws(
        token_ids=token_ids[:, 0].astype(np.int64),
        is_finite=is_finite[:, 0].astype(np.bool_),
        log_probs=log_probs[:, 0].astype(np.float32),
        sampled_probs=sampled[:, 0].astype(np.float32),
        mass_outside=outside[:, 0].astype(np.float32),
        alternative_ids=best[1].astype(np.int64) if best else None,
        alternative_log_probs=best[0].astype(np.float32) if best else None,
        logits=rest[0].astype(np.float32) if rest else None,
    )
