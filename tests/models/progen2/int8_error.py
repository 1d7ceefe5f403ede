"""What 8-bit products cost: `python -m tests.models.progen2.int8_error` measures docs/parity.md's.

The last row is of half precision, for comparison.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from primase_server.models.cpu_linear import INT8, PREPACKED
from primase_server.models.given_weights import FixtureWeights, RandomWeights
from primase_server.models.linear import MakeProduct
from primase_server.models.progen2.config import ProGen2Config
from primase_server.models.progen2.model import ProGen2
from primase_server.models.progen2.random_state import RandomState
from primase_server.models.progen2.tokens import LETTER_COLUMNS
from primase_server.models.progen2.weights import load

LENGTHS = (200, 105, 40)
MIDDLE = ProGen2Config(6, 256, 16, 1024, 8, 256)


@dataclass(frozen=True)
class Errors:
    """Against float32: of logits relative, of log-probabilities of the residues absolute in nats.

    likelihood: of the mean over a protein's residues. top_1: share of places where the likeliest
    letter is the same.
    """

    logits: float
    log_probs: float
    likelihood: float
    top_1: float


def texts() -> list[Tensor]:
    """Proteins of random residues with their terminals."""
    generator = torch.Generator().manual_seed(0)
    residues = (torch.randint(5, 30, (n,), generator=generator) for n in LENGTHS)
    return [torch.cat([torch.tensor([3]), part, torch.tensor([4])]) for part in residues]


@torch.inference_mode()
def compare(single: ProGen2, other: ProGen2) -> Errors:
    """Two models with the same weights."""
    rows = [
        (model.logits(model.whole([text])), text) for text in texts() for model in (single, other)
    ]
    logits, log_probs, likelihood, same = [], [], [], []
    for (a, text), (b, _) in zip(rows[::2], rows[1::2], strict=True):
        logits.append(float((a - b).abs().max() / a.abs().max()))
        expected, found = (x[:-2, LETTER_COLUMNS].log_softmax(1) for x in (a, b))
        targets = (text[1:-1] - LETTER_COLUMNS.start)[:, None]
        differences = (found - expected).gather(1, targets)
        log_probs.append(float(differences.abs().max()))
        likelihood.append(float(differences.mean().abs()))
        same.append(float((expected.argmax(1) == found.argmax(1)).float().mean()))
    return Errors(max(logits), max(log_probs), max(likelihood), min(same))


def middle(make: MakeProduct) -> ProGen2:
    """A model that is large enough to show rounding and small enough for a test."""
    with torch.inference_mode():
        return ProGen2(MIDDLE, RandomState(MIDDLE, 0), torch.device("cpu"), make=make)


def _rows() -> Iterator[tuple[str, Errors]]:
    yield "6 blocks of width 256", compare(middle(PREPACKED.make), middle(INT8.make))
    for source in (FixtureWeights(), RandomWeights("progen2-small")):
        single = load(source, make=PREPACKED.make)
        name = f"{single.variant}, {single.weights.source.value}"
        yield name, compare(single.model, load(source, make=INT8.make).model)
        for dtype in (torch.bfloat16, torch.float16):
            half = load(source, dtype=dtype).model
            yield f"{name}, {dtype}".replace("torch.", ""), compare(single.model, half)


def main() -> None:
    heads = ("weights", "logits", "log-probability", "mean log-likelihood", "top-1 agreement")
    lines = [heads, ("---",) * len(heads)]
    for name, found in _rows():
        errors = (f"{e:.1e}" for e in (found.logits, found.log_probs, found.likelihood))
        lines.append((name, *errors, f"{found.top_1:.1%}"))
    sys.stdout.write("".join(f"| {' | '.join(line)} |\n" for line in lines))


if __name__ == "__main__":
    main()
