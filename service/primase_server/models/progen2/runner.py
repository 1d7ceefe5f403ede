"""Runs passes of ProGen2 on one device."""

from collections.abc import Callable, Sequence

import torch

from primase_server.errors import PrecisionUnverified
from primase_server.models.card import ModelCard, Weights
from primase_server.models.device import works
from primase_server.models.progen2.model import ProGen2
from primase_server.models.progen2.tokens import C_TERMINUS, LETTERS, N_TERMINUS, TOKENS

FAMILY = "progen2"


class ProGen2Runner:
    """One loaded model; `run` is to be called from one thread at a time.

    `precision_note` is what GetModel says of its numbers, `variant` the official name of the model.
    """

    out_of_memory_errors = (torch.OutOfMemoryError,)

    def __init__(
        self, model: ProGen2, weights: Weights, precision_note: str = "", variant: str = ""
    ) -> None:
        self.model, self.weights = model, weights
        self.precision_note, self.variant = precision_note, variant

    @torch.inference_mode()
    def run(
        self, payloads: Sequence[object], give_way: Callable[[], None] = lambda: None
    ) -> list[object]:
        """One output for each pass, in order; there are no passes yet."""
        if payloads:
            raise TypeError("ProGen2 has no passes yet")
        return []

    def device_works(self) -> bool:
        """Whether anything can still be run."""
        return works(self.model.device)

    @torch.inference_mode()
    def self_check(self) -> None:
        """Raise PrecisionUnverified when the model's numbers on a short sequence are not finite."""
        ids = torch.tensor([TOKENS.index(text) for text in (N_TERMINUS, *LETTERS, C_TERMINUS)])
        if not self.model.logits(self.model.whole([ids])).isfinite().all():
            raise PrecisionUnverified("the model gives numbers that are not finite")

    def card(self, name: str) -> ModelCard:
        """Everything GetModel says of this model, served as `name`."""
        return ModelCard(
            name=name,
            family=FAMILY,
            variant=self.variant,
            num_parameters=self.model.config.num_parameters,
            layers=(),
            num_heads=self.model.config.num_heads,
            weights=self.weights,
            dtype=str(self.model.dtype).removeprefix("torch."),
            device=str(self.model.device),
            outputs=("generate", "score"),
            vocabulary=TOKENS,
            precision_note=self.precision_note,
            max_sequence_tokens=self.model.config.max_tokens,
        )
