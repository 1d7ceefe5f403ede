"""Evo 2 on a GPU against itself on the CPU in float32, whole, in chunks, and over two devices."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from primase_server.models.evo2.model import Evo2
from primase_server.models.evo2.weights import FIXTURE, LocalWeights, open_checkpoint
from tests.models.evo2.running import full, random_bases, relative_error

NUM_BASES = 700
CHUNK = 256

MAX_ERRORS: Mapping[torch.dtype, float] = {torch.float32: 1e-4, torch.bfloat16: 0.6}
"""Relative; untrained weights are chaotic: on a CPU too bfloat16 changes their logits by 0.3."""


def checks(device: str) -> Iterator[tuple[str, bool]]:
    """What was checked, with the error found, and whether it is small enough."""
    here, cpu = torch.device(device), torch.device("cpu")
    token_ids = random_bases(2, NUM_BASES)
    reference = full(model_on([cpu], torch.float32), token_ids)
    for dtype, most in MAX_ERRORS.items():
        model = model_on([here], dtype)
        for chunk in (None, CHUNK):
            found = full(model, token_ids.to(here), chunk).cpu()
            yield _said(f"{dtype} on {device}, chunks of {chunk}", found, reference, most)
    over_two = full(model_on([cpu, here], torch.float32), token_ids, CHUNK).cpu()
    yield _said(f"over cpu and {device}", over_two, reference, MAX_ERRORS[torch.float32])


def model_on(devices: Sequence[torch.device], dtype: torch.dtype) -> Evo2:
    """The fixture, its first half on the first device and the second on the last."""
    checkpoint = open_checkpoint(LocalWeights(FIXTURE))
    num_layers = checkpoint.config.num_layers
    half = num_layers // 2
    placed = [devices[0]] * half + [devices[-1]] * (num_layers - half)
    with torch.inference_mode():
        return Evo2(checkpoint.config, checkpoint.tensors, placed, dtype)


def _said(what: str, found: Tensor, reference: Tensor, most: float) -> tuple[str, bool]:
    error = relative_error(found, reference)
    return f"Evo 2 in {what}: error {error:.1e}", error <= most
