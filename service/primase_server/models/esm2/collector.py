"""Gathers the wanted outputs of a batch while it runs."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from primase_server.models.esm2.batch import PackedBatch
from primase_server.models.esm2.model import ContactSum, Esm2
from primase_server.models.esm2.passes import Esm2Output, Esm2Pass, Float32Array


def keep_on() -> None:
    """For a batch that gives way to nothing."""


class Collector:
    """The observer of one batch: a `Gathering` for each of its sequences.

    `give_way` is called whenever something was observed: the model may run other batches meanwhile.
    """

    def __init__(
        self, model: Esm2, batch: PackedBatch, give_way: Callable[[], None] = keep_on
    ) -> None:
        self.model = model
        self.give_way = give_way
        self.depth = max(work.depth(model.config.num_layers) for work in batch.passes)
        self.gatherings = []
        start = 0
        for work in batch.passes:
            rows = slice(start + 1, start + work.num_tokens - 1)
            self.gatherings.append(Gathering(model, work, rows))
            start += work.num_tokens

    def hidden(self, layer: int, x: Tensor) -> None:
        """Copy what is wanted of x: [rows, width] after `layer` blocks."""
        for gathering in self.gatherings:
            gathering.hidden(layer, x)
        self.give_way()

    def watches(self, layer: int, sequence: int) -> bool:
        """Whether the sequence reads the probabilities of this block."""
        return self.gatherings[sequence].work.watches(layer)

    def attention(self, layer: int, sequence: int, first_head: int, p: Tensor) -> None:
        """Take p: [heads, n, n] in."""
        self.gatherings[sequence].attention(layer, first_head, p)
        self.give_way()

    def outputs(self, x: Tensor) -> list[Esm2Output]:
        """The outputs in batch order; x: [rows, width] is the last hidden state."""
        logits = self._logits(x)
        return [g.output(rows) for g, rows in zip(self.gatherings, logits, strict=True)]

    def _logits(self, x: Tensor) -> Sequence[Tensor | None]:
        wanted = [gathering.logit_rows() for gathering in self.gatherings]
        rows = [row for part in wanted for row in part]
        if not rows or self.model.lm_head is None:
            return [None] * len(wanted)
        logits = self.model.lm_head(x[torch.tensor(rows, device=x.device)])
        parts = torch.split_with_sizes(logits, [len(part) for part in wanted])
        return [part if len(part) else None for part in parts]


class Gathering:
    """The outputs of one sequence, whose residues are `rows` of the packed matrix."""

    def __init__(self, model: Esm2, work: Esm2Pass, rows: slice) -> None:
        self.work, self.rows = work, rows
        self.num_queries = model.config.num_heads * work.num_tokens
        layers, residues = len(work.repr_layers), work.num_residues
        width, num_layers = model.config.width, model.config.num_layers

        def room(wanted: bool, *shape: int) -> Tensor | None:
            return torch.zeros(shape, device=model.device) if wanted else None

        self.mean = room(work.mean, layers, width)
        self.bos = room(work.bos, layers, width)
        self.per_token = room(work.per_token, layers, residues, width)
        self.profiles = room(work.attention_profiles, num_layers, residues)
        num_maps = len(work.attention_maps)
        self.maps = room(num_maps > 0, num_maps, residues, residues)
        self.contacts: ContactSum | None = None
        if work.contacts and model.contact_head is not None:
            self.contacts = model.contact_head.start(work.num_tokens)

    def hidden(self, layer: int, x: Tensor) -> None:
        if layer not in self.work.repr_layers:
            return
        index = self.work.repr_layers.index(layer)
        if self.mean is not None:
            self.mean[index] = x[self.rows].mean(dim=0)
        if self.bos is not None:
            self.bos[index] = x[self.rows.start - 1]
        if self.per_token is not None:
            self.per_token[index] = x[self.rows]

    def attention(self, layer: int, first_head: int, p: Tensor) -> None:
        if self.contacts is not None:
            self.contacts.add(layer, first_head, p)
        if self.profiles is not None:
            self.profiles[layer] += p.sum(dim=(0, 1))[1:-1] / self.num_queries
        if self.maps is not None:
            for index, (wanted, head) in enumerate(self.work.attention_maps):
                if wanted == layer and 0 <= head - first_head < len(p):
                    self.maps[index] = p[head - first_head, 1:-1, 1:-1]

    def logit_rows(self) -> Sequence[int]:
        """Rows of the packed matrix whose logits are wanted."""
        if self.work.logit_rows is None:
            return range(self.rows.start, self.rows.stop)
        return [self.rows.start + row for row in self.work.logit_rows]

    def output(self, logits: Tensor | None) -> Esm2Output:
        return Esm2Output(
            mean=_numpy(self.mean),
            per_token=_numpy(self.per_token),
            bos=_numpy(self.bos),
            contacts=_numpy(self.contacts.probabilities() if self.contacts else None),
            logits=_numpy(logits),
            attention_profiles=_numpy(self.profiles),
            attention_maps=_numpy(self.maps),
        )


def _numpy(tensor: Tensor | None) -> Float32Array | None:
    return None if tensor is None else tensor.cpu().numpy()
