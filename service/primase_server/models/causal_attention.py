"""Causal attention of a chunk of tokens over everything its sequence has read."""

import torch
import torch.nn.functional as F
from torch import Tensor

from primase_server.models.key_values import KeyValues

MASK_NUMBERS = 1 << 21
"""Of the mask of one call after the first chunk, which is [queries, tokens read so far]."""


def attend(queries: Tensor, keys_values: Tensor, past: KeyValues) -> Tensor:
    """Attention of n new tokens, which join the past.

    queries: [heads, n, head_dim]; keys_values: [2, heads, n, head_dim]; result as queries.
    """
    start = past.num_tokens
    keys, values = past.append(keys_values)
    n = queries.shape[1]
    if start == 0 or n == 1:
        return _attend(queries, keys, values, is_causal=n > 1)
    mixed = torch.empty_like(queries)
    step = max(16, MASK_NUMBERS // (start + n))
    for first in range(0, n, step):
        some = queries[:, first : first + step]
        stop = start + first + some.shape[1]
        mask = queries.new_zeros(some.shape[1], stop)
        mask[:, start + first :].fill_(-torch.inf).triu_(1)
        mixed[:, first : first + step] = _attend(some, keys[:, :stop], values[:, :stop], mask)
        del mask  # or it would live on while the next one is made
    return mixed


def _attend(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    mask: Tensor | None = None,
    *,
    is_causal: bool = False,
) -> Tensor:
    return F.scaled_dot_product_attention(
        queries[None], keys[None], values[None], mask, is_causal=is_causal
    )[0]
