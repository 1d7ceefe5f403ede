"""On a CUDA device: every family against itself on the CPU, FP8 products against float64;
generation replayed, waiting once a step, the same in any company; and how fast it is.

    PYTHONPATH=service:. python -m tests.gpu      # --device cpu tries the script itself

Needs torch, numpy, pyyaml and safetensors, no network and no files but the repository. Prints one
line a check and exits 1 where one fails. Tolerances in half precision follow what a cast of the
weights alone costs.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
import torch

from primase_server.models.esm2 import weights
from primase_server.models.esm2.alphabet import STANDARD_20, tokenize
from primase_server.models.esm2.passes import Esm2Output, Esm2Pass, Float32Array
from primase_server.models.esm2.runner import Esm2Runner
from primase_server.models.given_weights import FixtureWeights, RandomWeights
from tests.gpu import evo2, generation, progen2, projections, speed

LENGTHS = (1, 40, 206, 206, 443, 1000)
FIELDS = ("per_token", "logits", "contacts", "attention_profiles")


@dataclass(frozen=True)
class Precision:
    """Largest error relative to the largest value, and the least cosine of a residue's vector."""

    dtype: torch.dtype
    max_relative_error: float
    min_cosine: float


PRECISIONS = (
    Precision(torch.float32, 1e-4, 0.999999),
    Precision(torch.float16, 1e-2, 0.9999),
    Precision(torch.bfloat16, 6e-2, 0.999),
)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda")
    device = parser.parse_args().device
    torch.backends.cuda.matmul.allow_tf32 = False
    failures = sum(not passed for passed in checks(device))
    for name, passed in (
        *evo2.checks(device),
        *generation.checks(device),
        *projections.checks(device),
        *progen2.checks(device),
    ):
        say(f"{'ok  ' if passed else 'FAIL'} {name}")
        failures += not passed
    for line in speed.lines(device):
        say(line)
    say(f"{failures} failed")
    return 1 if failures else 0


def checks(device: str) -> Iterator[bool]:
    """Run every check, say how it went, and yield whether it passed."""
    for source in (FixtureWeights(), RandomWeights("esm2_t12_35M_UR50D")):
        reference = run(source, "cpu", torch.float32)
        for precision in PRECISIONS:
            outputs = run(source, device, precision.dtype)
            alone = run(source, device, precision.dtype, together=False)
            name = f"{type(source).__name__} {precision.dtype} on {device}"
            yield compare(f"{name}, against fp32 on the CPU", outputs, reference, precision)
            yield compare(f"{name}, batch against alone", outputs, alone, precision)


def run(
    source: weights.Source, device: str, dtype: torch.dtype, *, together: bool = True
) -> list[Esm2Output]:
    """Everything of proteins of `LENGTHS` residues, in one batch or one by one."""
    loaded = weights.load(source, device, dtype)
    runner = Esm2Runner(loaded.model, loaded.weights)
    passes = [
        Esm2Pass(
            tokenize(protein(length)),
            repr_layers=tuple(range(runner.config.num_layers + 1)),
            per_token=True,
            contacts=True,
            logit_rows=None,
            attention_profiles=True,
        )
        for length in LENGTHS
    ]
    if together:
        return runner.run(passes)
    return [runner.run([work])[0] for work in passes]


def protein(length: int) -> str:
    """A seeded protein with a mask in its middle."""
    residues = Random(length).choices(STANDARD_20, k=length)
    if length > 1:
        residues[length // 2] = "<mask>"
    return "".join(residues)


def compare(
    name: str, ours: Sequence[Esm2Output], theirs: Sequence[Esm2Output], precision: Precision
) -> bool:
    """Whether all arrays agree; says the worst error and cosine."""
    pairs = [
        (getattr(a, f), getattr(b, f)) for a, b in zip(ours, theirs, strict=True) for f in FIELDS
    ]
    worst = max(relative_error(a, b) for a, b in pairs)
    cosine = min(min_cosine(a.per_token, b.per_token) for a, b in zip(ours, theirs, strict=True))
    passed = worst <= precision.max_relative_error and cosine >= precision.min_cosine
    say(f"{'ok  ' if passed else 'FAIL'} {name}: error {worst:.1e}, cosine {cosine:.7f}")
    return passed


def relative_error(ours: Float32Array, theirs: Float32Array) -> float:
    """max|a - b| / max|b|; infinite where a number is not finite."""
    if not np.isfinite(ours).all():
        return float("inf")
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def min_cosine(ours: Float32Array | None, theirs: Float32Array | None) -> float:
    """The least cosine over layers and residues of [layers, residues, width]; 0-vectors agree."""
    if ours is None or theirs is None:
        return 0.0
    lengths = np.linalg.norm(ours, axis=-1) * np.linalg.norm(theirs, axis=-1)
    cosines = (ours * theirs).sum(-1) / np.where(lengths > 0, lengths, 1.0)
    return float(np.where(lengths > 0, cosines, 1.0).min())


def say(text: str) -> None:
    """One line, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
