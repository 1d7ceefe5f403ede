"""Products over weights of 16 bits that lose nothing: most published weights have no more.

A token read alone costs what its weights take to come out of memory, so half the bytes are twice
the speed. The product is FBGEMM's: weights widen to float32 on their way, inputs and sums are
float32.
"""

import warnings

import torch
from torch import Tensor

from primase_server.models.linear import Product, gelu_

LEAST_NUMBERS = 1 << 17
"""Of a weight that gains by it; smaller ones lie in the cache."""

_ENGINE = "fbgemm"
_LARGEST_EXPONENT = 15  # of float16
_LARGEST_LOSS = 2.0**-24
"""Relative, Euclidean: what rounding to float32 costs."""


def scale_for(weight: Tensor) -> float | None:
    """A power of two by which float16 holds the weight as well as float32 does, or None.

    float16 has more digits than bfloat16 and less reach: numbers far below the largest are lost,
    unless that is brought to the top of the range.
    """
    largest = float(weight.abs().max())
    if not 0 < largest < float("inf"):
        return None
    to_the_top = 2.0 ** (_LARGEST_EXPONENT - int(torch.tensor(largest).frexp().exponent))
    return next((scale for scale in (1.0, to_the_top) if _fits(weight * scale)), None)


def half(weight: Tensor, bias: Tensor | None, scale: float, *, with_gelu: bool = False) -> Product:
    """The product over a weight that may be scaled so; x: [rows, in] float32."""
    packed = _packed(weight * scale if scale != 1 else weight, bias if scale == 1 else None)
    back = 1 / scale

    def product(x: Tensor) -> Tensor:
        result: Tensor = torch.ops.quantized.linear_dynamic_fp16(x, packed)
        if scale != 1:
            result = result.mul_(back) if bias is None else torch.add(bias, result, alpha=back)
        return gelu_(result) if with_gelu else result

    return product


def _fits(weight: Tensor) -> bool:
    loss = torch.linalg.vector_norm(weight.half().float() - weight)
    return bool(loss <= _LARGEST_LOSS * torch.linalg.vector_norm(weight))


def _packed(weight: Tensor, bias: Tensor | None) -> object:
    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = _ENGINE
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return torch.ops.quantized.linear_prepack_fp16(weight, bias)
    finally:
        torch.backends.quantized.engine = before
