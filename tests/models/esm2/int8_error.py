"""What 8-bit products change, against our own float32: `python -m tests.models.esm2.int8_error`."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from primase_server.models.cpu_linear import INT8, PLAIN, Kernel
from primase_server.models.esm2.alphabet import tokenize
from primase_server.models.esm2.config import VARIANTS, Esm2Config
from primase_server.models.esm2.model import Esm2
from primase_server.models.esm2.random_state import RandomState
from tests.models.esm2.everything import CPU, run_everything
from tests.models.esm2.gate import absolute_error, relative_error
from tests.models.esm2.reference import Array, Everything, build_fair_model
from tests.models.esm2.sequences import random_sequence

LENGTHS = (400, 150, 40)


@dataclass(frozen=True)
class Int8Error:
    """Worst over the sequences, of the last layer where there are several.

    `row_cosine` is the lowest of all residues, `mean_cosine` of the mean embedding, `top_1` the
    share of residues whose likeliest letter is the same, `logits` max|a-b| / max|b|.
    """

    row_cosine: float
    mean_cosine: float
    top_1: float
    logits: float
    contacts: float


def measure(config: Esm2Config, state: Mapping[str, Tensor]) -> Int8Error:
    """The error on random sequences of three lengths."""
    exact, rounded = (_run(config, state, kernel) for kernel in (PLAIN, INT8))
    pairs = list(zip(rounded, exact, strict=True))
    same = [a.logits.argmax(axis=1) == b.logits.argmax(axis=1) for a, b in pairs]
    return Int8Error(
        row_cosine=min(_cosine(a.per_token[-1], b.per_token[-1]) for a, b in pairs),
        mean_cosine=min(_cosine(a.mean[-1:], b.mean[-1:]) for a, b in pairs),
        top_1=float(np.concatenate(same).mean()),
        logits=max(relative_error(a.logits, b.logits) for a, b in pairs),
        contacts=max(absolute_error(a.contacts, b.contacts) for a, b in pairs),
    )


def _run(config: Esm2Config, state: Mapping[str, Tensor], kernel: Kernel) -> Sequence[Everything]:
    with torch.inference_mode():
        model = Esm2(config, state, CPU, make=kernel.make)
    return run_everything(model, [tokenize(random_sequence(n, seed=n)) for n in LENGTHS])


def _cosine(ours: Array, reference: Array) -> float:
    norms = np.linalg.norm(ours, axis=-1) * np.linalg.norm(reference, axis=-1)
    return float(((ours * reference).sum(axis=-1) / norms).min())


def main() -> None:
    for variant in ("esm2_t6_8M_UR50D", "esm2_t12_35M_UR50D"):
        config = VARIANTS[variant]
        states = {
            "sharp": dict(build_fair_model(config).state_dict()),
            "random": RandomState(config, seed=0),
        }
        for name, state in states.items():
            sys.stdout.write(f"{variant}, {name}: {measure(config, state)}\n")


if __name__ == "__main__":
    main()
