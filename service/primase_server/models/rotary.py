"""Rotary position embedding over halves of a head (NeoX)."""

import torch
from torch import Tensor


def rotary_tables(num_positions: int, num_dims: int) -> tuple[Tensor, Tensor]:
    """cos and sin of position * 10000^(-2j / num_dims): [positions, num_dims / 2], float32."""
    frequencies = 1.0 / 10000 ** (torch.arange(0, num_dims, 2, dtype=torch.float32) / num_dims)
    angles = torch.arange(num_positions, dtype=torch.float32)[:, None] * frequencies
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x: [..., head_dim] turned by angles whose cos and sin are [..., head_dim / 2]."""
    low, high = x.chunk(2, dim=-1)
    turned = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    turned_low, turned_high = turned.chunk(2, dim=-1)
    torch.mul(low, cos, out=turned_low).addcmul_(high, sin, value=-1)
    torch.mul(high, cos, out=turned_high).addcmul_(low, sin)
    return turned
