"""Train progen2-demo: `python -m tools.train_demo.progen2 --data DIR --out DIR`.

A causal model of antibody variable domains, with some other proteins, read in both directions: 1
begins a protein and 2 ends it, and the other way round. Most of a batch are variable domains. Some
residues of what is read, never of what is to be predicted, are exchanged, so that the model does
not know whole sequences by their beginnings.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from primase_server.models.progen2.config import ProGen2Config
from primase_server.models.progen2.tokens import C_TERMINUS_ID, N_TERMINUS_ID, residue_ids
from tools.train_demo import curve
from tools.train_demo.protein_networks import ProGen2Network
from tools.train_demo.proteins import Protein, read_proteins, split_proteins
from tools.train_demo.training import Learner, parse_options

CONFIG = ProGen2Config(
    num_layers=6, width=128, num_heads=8, inner_width=512, rotary_dims=16, max_tokens=1024
)
NUM_STEPS = 600
BATCH, LENGTH = 24, 136
ANTIBODY_SHARE = 0.85
EXCHANGED = 0.05
DROPOUT = 0.1
PAD_ID = 0


def encode(sequence: str, *, reverse: bool) -> Tensor:
    """`1 … 2`, or `2 … 1` with the residues from the last to the first."""
    ids = torch.tensor([N_TERMINUS_ID, *residue_ids(sequence), C_TERMINUS_ID])
    return ids.flip(0) if reverse else ids


def laid(rows: Sequence[Tensor]) -> Tensor:
    """[rows, LENGTH + 1], cut or filled."""
    table = torch.full((len(rows), LENGTH + 1), PAD_ID)
    for index, row in enumerate(rows):
        table[index, : len(row)] = row[: LENGTH + 1]
    return table


def loss_of(network: ProGen2Network, table: Tensor, seen: Tensor, dropout: float) -> Tensor:
    """Mean cross-entropy in nats of the tokens behind the first; `seen` is what is read of them."""
    logits = network(seen[:, :-1], dropout)
    targets = table[:, 1:].flatten()
    return F.cross_entropy(logits.flatten(0, 1), targets, ignore_index=PAD_ID)


class Batches:
    """What the model reads, drawn from one generator."""

    def __init__(self, proteins: Sequence[Protein], generator: torch.Generator) -> None:
        self.generator = generator
        self.antibodies = [one.sequence for one in proteins if one.source in ("VH", "VL")]
        self.others = [one.sequence for one in proteins if one.source not in ("VH", "VL")]

    def draw(self) -> tuple[Tensor, Tensor]:
        """Tokens to predict, and tokens to read: each [BATCH, LENGTH + 1]."""
        rows = []
        for kind, way in zip(self._uniform(BATCH), self._uniform(BATCH), strict=True):
            pool = self.antibodies if kind < ANTIBODY_SHARE else self.others
            index = int(torch.randint(len(pool), (1,), generator=self.generator))
            rows.append(encode(pool[index], reverse=bool(way < 0.5)))
        table = laid(rows)
        first = residue_ids("A")[0]
        other = torch.randint(first, first + 25, table.shape, generator=self.generator)
        exchanged = torch.rand(table.shape, generator=self.generator) < EXCHANGED
        return table, torch.where(exchanged & (table >= first), other, table)

    def _uniform(self, count: int) -> Tensor:
        return torch.rand(count, generator=self.generator)


def main() -> None:
    """The command."""
    options = parse_options(__doc__, NUM_STEPS, 3e-3)
    split = split_proteins(read_proteins(Path(options.data)))
    network = ProGen2Network(CONFIG, options.seed, compiled=not options.no_compile)
    learner = Learner(network, options.num_steps, options.lr, options.seed, split.digest)
    batches = Batches(split.training, learner.generator)
    held = [one.sequence for one in split.validation if one.source in ("VH", "VL")]
    tables = [laid([encode(one, reverse=way) for one in held]) for way in (False, True)]

    def validate() -> float:
        losses = [
            loss_of(network, some, some, 0.0)
            for table in tables
            for some in table[: len(table) // BATCH * BATCH].split(BATCH)
        ]
        return float(torch.stack(losses).mean()) / math.log(2)

    learner.run(
        options.out,
        lambda: loss_of(network, *batches.draw(), DROPOUT),
        validate,
        options.every,
        options.stop,
    )
    curve.draw([options.out / "log.jsonl"], options.out / "loss.png", "progen2-demo")


if __name__ == "__main__":
    main()
