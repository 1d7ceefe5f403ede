"""Orders of the rows of fused weights: those of the files, and the ones the model computes in."""

import torch
from torch import Tensor

from primase_server.models.evo2.config import Evo2Config


def hyena_order(config: Evo2Config) -> Tensor:
    """Rows of `projections` (and of the short filter) that are x2, x1 and v, in this order.

    [3 * width]: row i of the model is row order[i] of the file.
    """
    order = torch.arange(3 * config.width)
    if config.interleave:
        order = order.view(-1, 3).T.flatten()
    if config.column_split_hyena:
        order = order.view(config.num_heads, 3, config.head_dim).transpose(0, 1).flatten()
    if config.flip_x1x2:
        x2, x1, v = order.chunk(3)
        order = torch.cat([x1, x2, v])
    return order


def attention_order(config: Evo2Config) -> Tensor:
    """Rows of `Wqkv` ordered by [query, key, value][head][channel]: [3 * width]."""
    order = torch.arange(3 * config.width)
    if config.column_split:
        order = order.view(config.num_heads, 3, config.head_dim).transpose(0, 1).flatten()
    return order
