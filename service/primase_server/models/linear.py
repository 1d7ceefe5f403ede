"""Linear products as the models call them: the seam behind which kernels differ."""

from collections.abc import Callable
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

Product = Callable[[Tensor], Tensor]
"""x: [rows, in] -> x Wᵀ + b: [rows, out], for one W and b."""


class MakeProduct(Protocol):
    """Turns a weight into its product; the weight may be given up for a packed form of it."""

    def __call__(self, weight: Tensor, bias: Tensor | None, *, with_gelu: bool = False) -> Product:
        """weight: [out, in], bias: [out]; `with_gelu` puts the exact GELU behind the product."""


def plain(weight: Tensor, bias: Tensor | None, *, with_gelu: bool = False) -> Product:
    """The product as torch does it, on any device and in any dtype."""
    if with_gelu:
        return lambda x: gelu_(F.linear(x, weight, bias))
    return lambda x: F.linear(x, weight, bias)


def gelu_(x: Tensor) -> Tensor:
    """The exact, erf form, in place."""
    result: Tensor = torch.ops.aten.gelu_(x)
    return result
