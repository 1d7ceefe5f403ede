"""Runs passes of ProGen2 on its device."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from primase_server.errors import PrecisionUnverified
from primase_server.models.card import ModelCard, Weights
from primase_server.models.device import works
from primase_server.models.progen2 import cost
from primase_server.models.progen2.config import ProGen2Config
from primase_server.models.progen2.model import ProGen2
from primase_server.models.progen2.passes import ProGen2Output, ProGen2Pass, require_passes
from primase_server.models.progen2.score import ScoreItem
from primase_server.models.progen2.served import ProGen2Served
from primase_server.models.progen2.tokens import (
    FIRST_LETTER_ID,
    LETTER_COLUMNS,
    LETTERS,
    TOKENS,
)

FAMILY = "progen2"

OUTPUTS = ("generate", "score")
"""What a model of this family answers, for GetModel."""


def keep_on() -> None:
    """Give way to nothing."""


class ProGen2Runner:
    """One loaded model; `run` is to be called from one thread at a time.

    `precision_note` is what GetModel says of its numbers, `variant` the official name of its shape.
    `out_of_memory_errors` are what the device raises when a batch does not fit it.
    """

    out_of_memory_errors = (torch.OutOfMemoryError,)

    def __init__(
        self, model: ProGen2, weights: Weights, precision_note: str = "", variant: str = ""
    ) -> None:
        self.model = model
        self.variant = variant
        self.weights = weights
        self.precision_note = precision_note

    @property
    def config(self) -> ProGen2Config:
        """Shape of the model."""
        return self.model.config

    @property
    def served(self) -> ProGen2Served:
        """What the work items need to know of this model."""
        return ProGen2Served(
            self.config, dtype_bytes=self.model.dtype.itemsize, max_tokens=self.config.max_tokens
        )

    @torch.inference_mode()
    def run(
        self, payloads: Sequence[object], give_way: Callable[[], None] = keep_on
    ) -> list[ProGen2Output]:
        """One output for each ProGen2Pass, in order, whatever their directions and lengths.

        Between blocks it calls `give_way`, which may run other passes. An out-of-memory error of
        torch passes through.
        """
        passes = require_passes(payloads)
        # neighbours of equal length attend in one call
        order = sorted(range(len(passes)), key=lambda index: passes[index].num_tokens)
        if not order:
            return []
        sorted_passes = [passes[index] for index in order]
        outputs = dict(zip(order, self._run(sorted_passes, give_way), strict=True))
        return [outputs[index] for index in range(len(passes))]

    def device_works(self) -> bool:
        """Whether anything can still be run."""
        return works(self.model.device)

    def workspace_bytes(self, work: ProGen2Pass) -> int:
        """Peak bytes of a pass while it runs, its results included."""
        return self.served.workspace_bytes(work.num_tokens)

    def cost(self, work: ProGen2Pass) -> int:
        """Floating-point operations of a pass."""
        return cost.flops(self.config, work.num_tokens)

    def self_check(self) -> None:
        """Raise PrecisionUnverified when the model's numbers on a short protein are not finite."""
        item = ScoreItem.build(self.served, LETTERS)
        score = item.finish(self.run([*item.passes()]))
        if not np.isfinite([score.sum_log_likelihood, score.token_cross_entropy]).all():
            raise PrecisionUnverified("the model gives numbers that are not finite")

    def card(self, name: str) -> ModelCard:
        """Everything GetModel says of this model, served as `name`."""
        num_spare = self.model.num_logits - len(TOKENS)
        return ModelCard(
            name=name,
            family=FAMILY,
            variant=self.variant,
            num_parameters=self.config.num_parameters,
            layers=(),
            num_heads=self.config.num_heads,
            weights=self.weights,
            dtype=str(self.model.dtype).removeprefix("torch."),
            device=str(self.model.device),
            outputs=OUTPUTS,
            vocabulary=(*TOKENS, *(f"<|unused{number}|>" for number in range(num_spare))),
            precision_note=self.precision_note,
            max_sequence_tokens=self.config.max_tokens,
        )

    def _run(
        self, passes: Sequence[ProGen2Pass], give_way: Callable[[], None]
    ) -> list[ProGen2Output]:
        token_ids = [torch.from_numpy(work.token_ids) for work in passes]
        logits = self.model.logits(self.model.whole([ids[:-1] for ids in token_ids], give_way))
        lengths = [work.num_tokens for work in passes]
        targets = torch.cat([ids[1:] for ids in token_ids]).to(logits.device)
        letters = _log_probs(logits[:, LETTER_COLUMNS], (targets - FIRST_LETTER_ID).clamp_min(0))
        tokens = _log_probs(logits, targets)
        return [
            ProGen2Output(of_letters[:-1].numpy().copy(), -of_tokens.double().mean().item())
            for of_letters, of_tokens in zip(
                letters.cpu().split(lengths), tokens.cpu().split(lengths), strict=True
            )
        ]


def _log_probs(logits: Tensor, targets: Tensor) -> Tensor:
    """Of each row's target: [rows]."""
    return logits.log_softmax(dim=1).gather(1, targets[:, None])[:, 0]
