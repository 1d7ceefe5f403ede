"""Runs batches of ESM-2 passes on one device."""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from primase_server.errors import PrecisionUnverified
from primase_server.models.card import Layer, ModelCard, Weights
from primase_server.models.device import works
from primase_server.models.esm2 import cost
from primase_server.models.esm2.alphabet import STANDARD_20, TOKENS, tokenize
from primase_server.models.esm2.batch import cut, pack, packing_order
from primase_server.models.esm2.collector import Collector, keep_on
from primase_server.models.esm2.config import Esm2Config, variant_of
from primase_server.models.esm2.model import Esm2
from primase_server.models.esm2.passes import Esm2Output, Esm2Pass, require_passes
from primase_server.models.esm2.served import Esm2Served

FAMILY = "esm2"

CPU_PIECE_TOKENS = 1024
"""A CPU takes this many tokens at a time: what one layer leaves for the next stays in its cache."""


class Esm2Runner:
    """One loaded model; `run` is to be called from one thread at a time.

    `precision_note` is what GetModel says of its numbers. `out_of_memory_errors` are what the
    device raises when a batch does not fit it.
    """

    out_of_memory_errors = (torch.OutOfMemoryError,)

    def __init__(self, model: Esm2, weights: Weights, precision_note: str = "") -> None:
        self.model = model
        self.weights = weights
        self.precision_note = precision_note

    @property
    def config(self) -> Esm2Config:
        """Shape of the model."""
        return self.model.config

    @property
    def served(self) -> Esm2Served:
        """What the work items need to know of this model."""
        return Esm2Served(
            self.config,
            has_contacts=self.model.contact_head is not None,
            has_logits=self.model.lm_head is not None,
            dtype_bytes=self.model.dtype.itemsize,
            device=self.model.device.type,
        )

    @torch.inference_mode()
    def run(
        self, payloads: Sequence[object], give_way: Callable[[], None] = keep_on
    ) -> list[Esm2Output]:
        """One output for each Esm2Pass, in order.

        Between blocks, and between heads that are watched, it calls `give_way`, which may run other
        batches. Raises OutputUnavailable for contacts or logits whose head was not loaded; an
        out-of-memory error of torch passes through.
        """
        passes = require_passes(payloads)
        for work in passes:
            self.served.require(contacts=work.contacts, logits=work.num_logit_rows > 0)
        if not passes:
            return []
        order = packing_order(passes)
        on_cpu = self.model.device.type == cost.CPU
        pieces = cut(order, passes, CPU_PIECE_TOKENS) if on_cpu else [order]
        by_index: dict[int, Esm2Output] = {}
        for piece in pieces:
            outputs = self._run_piece([passes[index] for index in piece], give_way)
            by_index.update(zip(piece, outputs, strict=True))
        return [by_index[index] for index in range(len(passes))]

    def _run_piece(
        self, passes: Sequence[Esm2Pass], give_way: Callable[[], None]
    ) -> list[Esm2Output]:
        batch = pack(passes, self.model.device)
        collector = Collector(self.model, batch, give_way)
        return collector.outputs(self.model.forward(batch, collector))

    def device_works(self) -> bool:
        """Whether anything can still be run."""
        return works(self.model.device)

    def workspace_bytes(self, work: Esm2Pass) -> int:
        """Peak bytes of a pass while it runs, its results included."""
        return self.served.workspace_bytes(work)

    def cost(self, work: Esm2Pass) -> int:
        """Floating-point operations of a pass."""
        return cost.flops(self.config, work)

    def self_check(self) -> None:
        """Raise PrecisionUnverified when the model's numbers on a short protein are not finite.

        Half precision can overflow in the residual stream of the large models.
        """
        last = self.config.num_layers
        token_ids = tokenize(STANDARD_20)
        [output] = self.run([Esm2Pass(token_ids, repr_layers=(last,), per_token=True)])
        if output.per_token is None or not np.isfinite(output.per_token).all():
            raise PrecisionUnverified("the model gives numbers that are not finite")

    def card(self, name: str) -> ModelCard:
        """Everything GetModel says of this model, served as `name`."""
        return ModelCard(
            name=name,
            family=FAMILY,
            variant=variant_of(self.config),
            num_parameters=self.config.num_parameters,
            layers=tuple(
                Layer(str(index), index, self.config.width)
                for index in range(self.config.num_layers + 1)
            ),
            num_heads=self.config.num_heads,
            weights=self.weights,
            dtype=str(self.model.dtype).removeprefix("torch."),
            device=str(self.model.device),
            outputs=self.served.outputs,
            vocabulary=TOKENS,
            precision_note=self.precision_note,
        )
