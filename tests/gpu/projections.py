"""FP8-trained projections of Evo 2 on a GPU, natively and emulated, against float64."""

from collections.abc import Iterator, Mapping
from random import Random

import torch

from primase_server.models.evo2.extra_state import Fp8Scales
from primase_server.models.evo2.projections import (
    NATIVE_SINCE,
    choose,
    emulated_product,
    exact_product,
    native_product,
)

SHAPES = ((1, 5760, 1920), (37, 5760, 1920), (512, 12288, 4096))
"""Rows, out and in: one token, a ragged batch of 1B, a chunk of 7B."""

MAX_ERRORS: Mapping[torch.dtype, float] = {torch.float32: 1e-5, torch.bfloat16: 4e-3}
"""Of the emulation, relative in the Euclidean norm: what the type of the result rounds."""

MAX_NATIVE_ERROR = 1e-2
"""Fast sums keep about 14 bits on Hopper, and the result is rounded besides."""


def checks(device: str) -> Iterator[tuple[str, bool]]:
    """What was checked, with the error found, and whether it is small enough."""
    on = torch.device(device)
    has_native = on.type == "cuda" and torch.cuda.get_device_capability(on) >= NATIVE_SINCE
    yield f"FP8 on {device}: {choose(on, needs_fp8=True).note}", True
    for shape in SHAPES if on.type == "cuda" else SHAPES[:2]:
        for dtype, most in MAX_ERRORS.items():
            yield _check("emulated", device, shape, dtype, most)
            if has_native:
                yield _check("native", device, shape, dtype, MAX_NATIVE_ERROR)


def _check(
    form: str, device: str, shape: tuple[int, int, int], dtype: torch.dtype, most: float
) -> tuple[str, bool]:
    rows, num_out, num_in = shape
    random = Random(f"{form}{shape}{dtype}")
    generator = torch.Generator().manual_seed(random.randrange(1 << 32))
    x = torch.randn(rows, num_in, generator=generator).to(device, dtype)
    weight = (torch.randn(num_out, num_in, generator=generator) * num_in**-0.5).to(device, dtype)
    scales = Fp8Scales(2 ** random.uniform(3, 7), 2 ** random.uniform(8, 13))
    make = native_product if form == "native" else emulated_product
    found = make(weight, scales)(x)
    exact = exact_product(x, weight, scales)
    difference = torch.linalg.vector_norm(found.double() - exact)
    error = float(difference / torch.linalg.vector_norm(exact))
    name = f"{form} FP8 product {shape} in {dtype} on {device}: error {error:.1e}"
    return name, found.dtype == dtype and error <= most
