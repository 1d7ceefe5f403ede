"""The products in front of the Hyena mixers, which some models were trained with in 8 bits.

    x8 = e4m3(sat(x s_x))      w8 = e4m3(sat(w s_w))      y = (x8 w8ᵀ) / (s_x s_w)

with s_x and s_w out of the checkpoint, and saturation at ±448, as Transformer Engine computes them.
There are two forms: the GPU's own 8-bit product where it has one, and elsewhere the same values on
the grid of e4m3, multiplied in float32. The weight is rounded once, when the product is made.
"""

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from primase_server.models.evo2.extra_state import Fp8Scales, read_scales
from primase_server.models.linear import Product

E4M3 = torch.float8_e4m3fn
E4M3_MAX = 448.0

NATIVE_SINCE = (8, 9)
"""Compute capability of the first GPUs that multiply e4m3 themselves."""

_NATIVE_ROWS = 16  # rows of a native product are a multiple of this
_PIECE = 2048  # rows of a weight that are widened to float32 at a time

_TEST_SHAPE = (33, 96, 64)  # rows, out, in; the latter two as native products want them
_MAX_TEST_ERROR = 1e-2  # bfloat16 rounds by 0.4 %, a GPU's fast sums by less than that


class MakeProjection(Protocol):
    """Turns a weight into its product; the weight may be given up for a rounded form of it."""

    def __call__(self, weight: Tensor, extra_state: BytesIO | None) -> Product:
        """weight: [out, in] on its device; `extra_state` as the checkpoint has it.

        Raises CheckpointError where scales are needed and not there.
        """


@dataclass(frozen=True)
class Chosen:
    """The form that serves, None for that of all other products, and what GetModel says of it."""

    make: MakeProjection | None
    note: str


def choose(device: torch.device, *, needs_fp8: bool, has_scales: bool = True) -> Chosen:
    """The form for a model on a device, native where that passes a test against float64.

    Weights that nobody trained have no scales, and need none.
    """
    if not needs_fp8:
        return Chosen(None, "")
    if not has_scales:
        return Chosen(None, "weights without FP8 scales: no product is in FP8")
    if not _has_native(device):
        return Chosen(emulated_projection, f"{_EMULATED}: {device.type} has no 8-bit products")
    error = _error_of(native_product, device)
    if error <= _MAX_TEST_ERROR:
        return Chosen(native_projection, _NATIVE)
    reason = f"{device.type}'s own are WRONG, relative error {error:.1e}"
    return Chosen(emulated_projection, f"{_EMULATED}: {reason}")


_NATIVE = "input projections in FP8 (e4m3) as trained, by the GPU's own products"
_EMULATED = "input projections in FP8 (e4m3) as trained, emulated in float32"


def native_projection(weight: Tensor, extra_state: BytesIO | None) -> Product:
    """The GPU's own 8-bit product."""
    return native_product(weight, _scales(extra_state))


def emulated_projection(weight: Tensor, extra_state: BytesIO | None) -> Product:
    """The same values, multiplied in float32, on any device."""
    return emulated_product(weight, _scales(extra_state))


def native_product(weight: Tensor, scales: Fp8Scales) -> Product:
    """x: [rows, in] -> [rows, out] in the dtype of x; sums fast, as Hopper does in training."""
    rounded = on_grid(weight, scales.weight).t()  # column-major, as the product wants it
    scale_x, scale_w = (
        torch.tensor(1 / scale, device=weight.device) for scale in (scales.input, scales.weight)
    )

    def product(x: Tensor) -> Tensor:
        padded = F.pad(x, (0, 0, 0, -len(x) % _NATIVE_ROWS))
        y: Tensor = torch._scaled_mm(
            on_grid(padded, scales.input),
            rounded,
            scale_x,
            scale_w,
            out_dtype=x.dtype,
            use_fast_accum=True,
        )
        return y[: len(x)]

    return product


def emulated_product(weight: Tensor, scales: Fp8Scales) -> Product:
    """x: [rows, in] -> [rows, out] in the dtype of x, rounded to it once.

    bfloat16, float16 and float32 hold every value of e4m3, so the weight keeps its dtype and size.
    """
    rounded = on_grid(weight, scales.weight).to(weight.dtype)
    divisor = scales.input * scales.weight

    def product(x: Tensor) -> Tensor:
        x8 = on_grid(x, scales.input).to(weight.dtype)
        y = x.new_empty(len(x), len(rounded))
        for columns, piece in zip(y.split(_PIECE, 1), rounded.split(_PIECE), strict=True):
            columns.copy_(_multiply(x8, piece).div_(divisor))
        return y

    return product


def on_grid(values: Tensor, scale: float) -> Tensor:
    """e4m3(sat(values · scale)), rounded to nearest even; what is not a number stays so."""
    scaled = values.float().mul_(scale) if values.dtype != torch.float32 else values * scale
    return scaled.clamp_(-E4M3_MAX, E4M3_MAX).to(E4M3)


def _multiply(x: Tensor, weight: Tensor) -> Tensor:
    """x Wᵀ in float32; both hold values of e4m3, whose products 16 bits would round."""
    if x.is_cuda and x.dtype != torch.float32:
        # the inputs stay in 16 bits, for the tensor cores, and the sums do not
        return torch.mm(x, weight.t(), out_dtype=torch.float32)
    return F.linear(x.float(), weight.float())


def _scales(extra_state: BytesIO | None) -> Fp8Scales:
    return read_scales(BytesIO() if extra_state is None else extra_state)


def _has_native(device: torch.device) -> bool:
    if device.type != "cuda" or torch.version.hip is not None:
        return False
    return torch.cuda.get_device_capability(device) >= NATIVE_SINCE


def _error_of(product: Callable[[Tensor, Fp8Scales], Product], device: torch.device) -> float:
    """Relative error of a small random product against float64; infinite where it cannot be."""
    rows, num_out, num_in = _TEST_SHAPE
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, num_in, generator=generator).to(device, torch.bfloat16)
    weight = torch.randn(num_out, num_in, generator=generator).to(device, torch.bfloat16)
    scales = Fp8Scales(input=53.7, weight=271.9)
    try:
        found = product(weight, scales)(x).double()
    except (AttributeError, RuntimeError):  # no such operation, or not for this GPU
        return float("inf")
    exact = exact_product(x, weight, scales)
    error = torch.linalg.vector_norm(found - exact) / torch.linalg.vector_norm(exact)
    return float(error.nan_to_num(nan=float("inf")))


def exact_product(x: Tensor, weight: Tensor, scales: Fp8Scales) -> Tensor:
    """The formula above in float64."""
    x8, w8 = on_grid(x, scales.input), on_grid(weight, scales.weight)
    return x8.double() @ w8.double().t() / (scales.input * scales.weight)
