"""Train esm2-demo: `python -m tools.train_demo.esm2 --data DIR --out DIR`.

A masked language model of E. coli's proteins, some of UniProt, and antibody variable domains. Of
each sequence 15 % of the residues are chosen: 80 % of them are masked, 10 % exchanged, 10 % left.
Batches are of two lengths, so that short sequences are not mostly filling.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from primase_server.models.esm2.alphabet import MASK_ID, PAD_ID, STANDARD_COLUMNS, tokenize
from primase_server.models.esm2.config import Esm2Config
from tools.train_demo import curve
from tools.train_demo.protein_networks import Esm2Network
from tools.train_demo.proteins import Protein, read_proteins, split_proteins
from tools.train_demo.training import Learner, parse_options

CONFIG = Esm2Config(num_layers=6, width=160, num_heads=5)
NUM_STEPS = 1800
SHORT, LONG = (24, 136), (12, 256)
"""Sequences of a batch, and their tokens."""

SHORT_SHARE = 0.33
ANTIBODY_SHARE = 0.7
"""Of the sequences in short batches."""

CHOSEN, MASKED, EXCHANGED = 0.2, 0.8, 0.1
DROPOUT = 0.0


class Batches:
    """What the model reads, drawn from one generator."""

    def __init__(self, proteins: Sequence[Protein], generator: torch.Generator) -> None:
        self.generator = generator
        ids = {
            kind: [torch.from_numpy(tokenize(one.sequence)) for one in proteins if fits(one)]
            for kind, fits in (("antibody", is_antibody), ("other", lambda p: not is_antibody(p)))
        }
        self.antibodies = ids["antibody"]
        self.short = [one for one in ids["other"] if len(one) <= SHORT[1]]
        self.long = [one for one in ids["other"] if len(one) > SHORT[1]]
        # a long protein is met as often as its windows would be
        self.long_shares = torch.tensor([float(len(one)) for one in self.long])

    def draw(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Tokens, those to be read, their lengths, and which are to be predicted."""
        rows = []
        if self._uniform() < SHORT_SHARE:
            batch, length = SHORT
            for _ in range(batch):
                pool = self.antibodies if self._uniform() < ANTIBODY_SHARE else self.short
                rows.append(pool[int(torch.randint(len(pool), (1,), generator=self.generator))])
        else:
            batch, length = LONG
            drawn = torch.multinomial(self.long_shares, batch, True, generator=self.generator)
            rows = [cropped(self.long[i], length, self._uniform()) for i in drawn]
        table, lengths = laid(rows, length)
        return table, *masked(table, lengths, self.generator), lengths

    def _uniform(self) -> float:
        return float(torch.rand(1, generator=self.generator))


def is_antibody(protein: Protein) -> bool:
    """Whether it is a variable domain."""
    return protein.source in ("VH", "VL")


def cropped(ids: Tensor, length: int, place: float) -> Tensor:
    """A window of that many tokens with both ends' tokens; place: 0 to 1."""
    if len(ids) <= length:
        return ids
    start = 1 + int(place * (len(ids) - length + 1))
    return torch.cat([ids[:1], ids[start : start + length - 2], ids[-1:]])


def laid(rows: Sequence[Tensor], length: int) -> tuple[Tensor, Tensor]:
    """[rows, length] filled behind their ends, and the lengths."""
    table = torch.full((len(rows), length), PAD_ID)
    for index, row in enumerate(rows):
        table[index, : len(row)] = row[:length]
    return table, torch.tensor([min(length, len(row)) for row in rows])


def masked(table: Tensor, lengths: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """What is to be read of the tokens, and which of them are chosen to be predicted."""
    columns = STANDARD_COLUMNS
    residue = (table >= columns.start) & (table < columns.stop)
    chosen = residue & (torch.rand(table.shape, generator=generator) < CHOSEN)
    what = torch.rand(table.shape, generator=generator)
    other = torch.randint(columns.start, columns.stop, table.shape, generator=generator)
    seen = torch.where(chosen & (what < MASKED), MASK_ID, table)
    return torch.where(chosen & (what > 1 - EXCHANGED), other, seen), chosen


def loss_of(
    network: Esm2Network, table: Tensor, seen: Tensor, chosen: Tensor, lengths: Tensor,
    dropout: float,
) -> Tensor:  # fmt: skip
    """Mean cross-entropy in nats of the chosen residues."""
    rows = network(seen, lengths, dropout)[chosen]
    return F.cross_entropy(network.logits(rows), table[chosen])


def validation_batches(proteins: Sequence[Protein]) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Every protein of a part once, the first window of a long one, masked by a seed."""
    generator = torch.Generator().manual_seed(0)
    ids = [torch.from_numpy(tokenize(one.sequence)) for one in proteins]
    batches = []
    for batch, length in (SHORT, LONG):
        rows = [one for one in ids if (len(one) <= SHORT[1]) == (length == SHORT[1])]
        for start in range(0, len(rows) - batch + 1, batch):
            some = [cropped(one, length, 0.5) for one in rows[start : start + batch]]
            table, lengths = laid(some, length)
            batches.append((table, *masked(table, lengths, generator), lengths))
    return batches


def main() -> None:
    """The command."""
    options = parse_options(__doc__, NUM_STEPS, 2e-3)
    split = split_proteins(read_proteins(Path(options.data)))
    network = Esm2Network(CONFIG, options.seed, compiled=not options.no_compile)
    learner = Learner(network, options.num_steps, options.lr, options.seed, split.digest)
    batches = Batches(split.training, learner.generator)
    held = validation_batches(split.validation)

    def validate() -> float:
        losses = [float(loss_of(network, *one, 0.0)) * int(one[2].sum()) for one in held]
        return sum(losses) / sum(int(one[2].sum()) for one in held) / math.log(2)

    learner.run(
        options.out,
        lambda: loss_of(network, *batches.draw(), DROPOUT),
        validate,
        options.every,
        options.stop,
    )
    curve.draw([options.out / "log.jsonl"], options.out / "loss.png", "esm2-demo")


if __name__ == "__main__":
    main()
