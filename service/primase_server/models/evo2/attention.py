"""Rotary angles as the official code rounds them."""

import torch
from torch import Tensor

Rotary = tuple[Tensor, Tensor]
"""cos and sin of the angle of every row, each [rows, 1, 1, head_dim / 2]."""


def rotary_angles(positions: Tensor, inv_freq: Tensor, scale: float) -> Tensor:
    """(position / scale) * inv_freq in float32: [rows, head_dim / 2].

    inv_freq comes from the checkpoint, where it was rounded: computed anew it would differ.
    """
    return positions.float()[:, None] / scale * inv_freq


def rotary_tables(angles: Tensor, dtype: torch.dtype) -> Rotary:
    """cos and sin, rounded to the model's dtype as the official code stores them, in float32."""
    cos, sin = (table.to(dtype).float()[:, None, None] for table in (angles.cos(), angles.sin()))
    return cos, sin
