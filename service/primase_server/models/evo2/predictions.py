"""What the model says of each token by those before it, without all logits at one time."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from primase_server.models.evo2.passes import Read, ScoreOptions, Scores
from primase_server.models.evo2.tokens import BASE_IDS

BLOCK_ROWS = 256
"""Logits are made of this many rows at a time: 512 KiB in float32."""

ToLogits = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Prediction:
    """Scores of a read, still on its device, and [512] log-probabilities of what comes next."""

    parts: "_Parts"
    next_log_probs: Tensor

    def scores(self) -> Scores:
        """The scores, on the CPU."""
        return self.parts.scores()


def predict(to_logits: ToLogits, rows: Tensor, read: Read) -> Prediction:
    """Score the tokens of a read; rows: [n, width] are those behind each of them.

    Row i predicts token i + 1, and the last row of the chunk before predicted token 0.
    """
    token_ids = torch.from_numpy(read.token_ids.astype(np.int64)).to(rows.device)
    parts = _Parts(read.score)
    if read.carry.next_log_probs is None:
        parts.add_unscored(rows.device)
    else:
        parts.add(read.carry.next_log_probs[None], token_ids[:1])
    log_probs = rows.new_empty(0)
    for start in range(0, len(rows), BLOCK_ROWS):
        log_probs = torch.log_softmax(to_logits(rows[start : start + BLOCK_ROWS]), dim=-1)
        scored = token_ids[start + 1 : start + 1 + BLOCK_ROWS]
        parts.add(log_probs[: len(scored)], scored)
    return Prediction(parts, log_probs[-1].clone())


class _Parts:
    """Scores, block by block."""

    def __init__(self, options: ScoreOptions) -> None:
        self._options = options
        self._log_probs: list[Tensor] = []
        self._entropies: list[Tensor] = []
        self._alternative_ids: list[Tensor] = []
        self._alternative_log_probs: list[Tensor] = []
        self._bases: list[Tensor] = []

    def add(self, log_probs: Tensor, token_ids: Tensor) -> None:
        """Take [n, 512] float32 and the n tokens that came."""
        options = self._options
        if options.log_probs:
            self._log_probs.append(log_probs.gather(1, token_ids[:, None])[:, 0])
        if options.entropies:
            self._entropies.append(-(log_probs.exp() * log_probs).sum(dim=1))
        if options.num_alternatives:
            best = log_probs.topk(options.num_alternatives, dim=1)
            self._alternative_ids.append(best.indices.int())
            self._alternative_log_probs.append(best.values)
        if options.bases:
            self._bases.append(log_probs[:, list(BASE_IDS)])

    def add_unscored(self, device: torch.device) -> None:
        """A token with nothing before it."""
        options = self._options
        nothing = torch.zeros(1, device=device)
        alternatives = torch.zeros(1, options.num_alternatives, device=device)
        if options.log_probs:
            self._log_probs.append(nothing)
        if options.entropies:
            self._entropies.append(nothing)
        if options.num_alternatives:
            self._alternative_ids.append(alternatives.int())
            self._alternative_log_probs.append(alternatives)
        if options.bases:
            self._bases.append(torch.zeros(1, len(BASE_IDS), device=device))

    def scores(self) -> Scores:
        def joined(parts: list[Tensor], *shape: int) -> Tensor:
            return torch.cat(parts).cpu() if parts else torch.zeros(shape)

        return Scores(
            log_probs=joined(self._log_probs, 0).numpy(),
            entropies=joined(self._entropies, 0).numpy(),
            alternative_ids=joined(self._alternative_ids, 0, 0).int().numpy(),
            alternative_log_probs=joined(self._alternative_log_probs, 0, 0).numpy(),
            bases=joined(self._bases, 0, len(BASE_IDS)).numpy(),
        )
