"""The CPU's linear products: one door to four kernels, each tested before it is trusted.

    plain       torch's own float32 product, always there
    prepacked   float32 by oneDNN, weights reordered once for it, GELU inside the product
    half        float32 by FBGEMM, weights kept in 16 bits where these hold them
    int8        weights rounded to 8 bits by output row, inputs by row; only when asked for

Packing a weight replaces it: once its product is made, nothing holds the original.
"""

import warnings
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from primase_server.models.half_linear import LEAST_NUMBERS, half, scale_for
from primase_server.models.linear import MakeProduct, Product, gelu_, plain

AUTO = "auto"
"""Asks for the fastest kernel in float32."""

_TEST_SHAPE = (33, 384, 352)  # rows, out, in: no kernel's block divides the rows
_LEAST_ROWS = 4  # of fewer, oneDNN's product takes longer
_INT8_ENGINE = "fbgemm"  # the one with a product whose input scale is given
_INT8_LEVELS = 127
_INT8_ZERO = 128
_INT8_ROWS = 256  # at a time, so that what comes between lies in the cache


@dataclass(frozen=True)
class Kernel:
    """One way to multiply.

    `tolerance` bounds the relative error (Euclidean, against float64) of a trusted product.
    """

    name: str
    note: str
    tolerance: float
    make: MakeProduct


@dataclass(frozen=True)
class Verdict:
    """What the self-test found; `error` is None where the kernel is missing."""

    kernel: Kernel
    error: float | None

    @property
    def trusted(self) -> bool:
        """Whether the kernel may be used; a NaN is not trusted."""
        return self.error is not None and self.error <= self.kernel.tolerance

    def __str__(self) -> str:
        if self.error is None:
            return f"{self.kernel.name}: not in this build of torch"
        found = "ok" if self.trusted else "WRONG, not used"
        return f"{self.kernel.name}: {found}, relative error {self.error:.1e}"


@dataclass(frozen=True)
class Chosen:
    """The kernel that serves, and what to know of its numbers."""

    kernel: Kernel
    note: str


def choose(wanted: str) -> Chosen:
    """The kernel of that name, or the plain one, saying why, where that is missing or wrong."""
    kernel = PREPACKED if wanted == AUTO else KERNELS[wanted]
    verdict = check(kernel)
    if verdict.trusted:
        return Chosen(kernel, kernel.note)
    return Chosen(PLAIN, f"{PLAIN.note} ({verdict})")


def describe() -> tuple[str, ...]:
    """One line for each kernel, as its self-test finds it on this machine."""
    return tuple(str(check(kernel)) for kernel in KERNELS.values())


def check(kernel: Kernel) -> Verdict:
    """Multiply small random matrices and compare with float64, with and without GELU."""
    rows, num_out, num_in = _TEST_SHAPE
    generator = torch.Generator().manual_seed(0)
    x, weight, bias = (
        torch.randn(shape, generator=generator)
        for shape in ((rows, num_in), (num_out, num_in), (num_out,))
    )
    weight = (weight * num_in**-0.5).bfloat16().float()  # as published
    x[0], weight[0] = 1, 1  # sums that 16 bits do not hold, on which old processors saturate
    x[0, 0] = -1
    exact = F.linear(x.double(), weight.double(), bias.double())
    try:
        with torch.inference_mode():
            product = kernel.make(weight.clone(), bias.clone())(x)
            activated = kernel.make(weight.clone(), bias.clone(), with_gelu=True)(x)
    except (AttributeError, RuntimeError):  # no such operator, or not for this processor
        return Verdict(kernel, None)
    errors = _relative(product, exact), _relative(activated, F.gelu(exact))
    return Verdict(kernel, float(torch.tensor(errors).max()))


def prepacked(weight: Tensor, bias: Tensor | None, *, with_gelu: bool = False) -> Product:
    """The float32 product of oneDNN over a weight in its own blocked layout."""
    packed = torch.ops.mkldnn._reorder_linear_weight(weight, None)
    activation, form = ("gelu", "none") if with_gelu else ("none", "")

    def product(x: Tensor) -> Tensor:
        num_rows = len(x)
        if num_rows < _LEAST_ROWS:
            x = F.pad(x, (0, 0, 0, _LEAST_ROWS - num_rows))
        result: Tensor = torch.ops.mkldnn._linear_pointwise(x, packed, bias, activation, [], form)
        return result[:num_rows]

    return product


def half_or_float(weight: Tensor, bias: Tensor | None, *, with_gelu: bool = False) -> Product:
    """By the weight: in 16 bits if they hold it, in float32 if not, and small ones as they are."""
    if weight.numel() < LEAST_NUMBERS:
        return plain(weight, bias, with_gelu=with_gelu)
    if (scale := scale_for(weight)) is None:
        return prepacked(weight, bias, with_gelu=with_gelu)
    return half(weight, bias, scale, with_gelu=with_gelu)


def int8(weight: Tensor, bias: Tensor | None, *, with_gelu: bool = False) -> Product:
    """The product of 8-bit integers, summed in 32.

    Each row of x is centred and scaled to -127..127 by its own extremes, so that a row's result
    never depends on the other rows; the centre comes back as a multiple of W 1.
    """
    packed, row_sums = _pack_int8(weight)
    shift = torch.zeros_like(row_sums) if bias is None else bias

    def multiply(x: Tensor, result: Tensor) -> None:
        high, low = x.amax(1, keepdim=True), x.amin(1, keepdim=True)
        centre = (high + low) / 2
        step = ((high - low) / (2 * _INT8_LEVELS)).clamp_min_(torch.finfo(x.dtype).tiny)
        levels = (x - centre).mul_(1 / step)
        y = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32(
            levels, 1.0, _INT8_ZERO, packed
        )
        torch.addcmul(shift, centre, row_sums, out=result).addcmul_(y, step)
        if with_gelu:
            gelu_(result)

    def product(x: Tensor) -> Tensor:
        result = x.new_empty(len(x), len(shift))
        for rows, part in zip(x.split(_INT8_ROWS), result.split(_INT8_ROWS), strict=True):
            multiply(rows, part)
        return result

    return product


def _pack_int8(weight: Tensor) -> tuple[object, Tensor]:
    # the packed weight, and W 1 of the rounded weight: [out]
    scales = weight.abs().amax(1).clamp_min_(torch.finfo(weight.dtype).tiny) / _INT8_LEVELS
    zeros = torch.zeros(len(weight), dtype=torch.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch means to replace its 8-bit tensors
        rounded = torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8)
    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = _INT8_ENGINE
    try:
        return torch.ops.quantized.linear_prepack(rounded, None), rounded.dequantize().sum(1)
    finally:
        torch.backends.quantized.engine = before


def _relative(found: Tensor, exact: Tensor) -> Tensor:
    error: Tensor = torch.linalg.vector_norm(found - exact) / torch.linalg.vector_norm(exact)
    return error


PLAIN = Kernel("plain", "float32 products by torch", 1e-5, plain)
PREPACKED = Kernel(
    "prepacked", "float32 products by oneDNN, weights packed at load", 1e-5, prepacked
)
HALF = Kernel(
    "half",
    "float32 products by FBGEMM, weights in 16 bits where these hold them",
    1e-5,
    half_or_float,
)
INT8 = Kernel(
    "int8",
    "8-bit integer products in the blocks (--cpu-linear int8): weights rounded by output row, "
    "inputs by token; everything else in float32; docs/parity.md states the error",
    2e-2,
    int8,
)
KERNELS = {kernel.name: kernel for kernel in (PREPACKED, HALF, INT8, PLAIN)}
