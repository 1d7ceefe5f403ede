"""The formulas of ProGen2 in float64: one head, position and pair at a time."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from primase_server.models.progen2.config import ProGen2Config

Array = NDArray[np.float64]


def logits(
    config: ProGen2Config, tensors: Mapping[str, torch.Tensor], token_ids: Sequence[int]
) -> Array:
    """[tokens, vocabulary]."""

    def weight(name: str) -> Array:
        return tensors[name].double().numpy()

    def norm(name: str, x: Array) -> Array:
        centred = x - x.mean(axis=1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + config.eps)
        found: Array = scaled * weight(f"{name}.weight") + weight(f"{name}.bias")
        return found

    x = weight("transformer.wte.weight")[list(token_ids)]
    for layer in range(config.num_layers):
        block = f"transformer.h.{layer}"
        a = norm(f"{block}.ln_1", x)
        mixed = attention(config, a, weight(f"{block}.attn.qkv_proj.weight"))
        inner = a @ weight(f"{block}.mlp.fc_in.weight").T + weight(f"{block}.mlp.fc_in.bias")
        fed = gelu(inner) @ weight(f"{block}.mlp.fc_out.weight").T
        x = x + mixed @ weight(f"{block}.attn.out_proj.weight").T
        x = x + fed + weight(f"{block}.mlp.fc_out.bias")
    found: Array = norm("transformer.ln_f", x) @ weight("lm_head.weight").T + weight("lm_head.bias")
    return found


def attention(config: ProGen2Config, a: Array, qkv: Array) -> Array:
    """a: [tokens, width] -> what the heads mix, side by side: [tokens, width]."""
    heads = []
    for head in range(config.num_heads):
        q, k, v = (a @ rows(config, qkv, head, part).T for part in "qkv")
        q, k = rotated(config, q), rotated(config, k)
        scores = q @ k.T / math.sqrt(config.head_dim)
        scores[np.triu_indices(len(a), 1)] = -np.inf
        p = np.exp(scores - scores.max(axis=1, keepdims=True))
        heads.append(p / p.sum(axis=1, keepdims=True) @ v)
    return np.concatenate(heads, axis=1)


def rows(config: ProGen2Config, qkv: Array, head: int, part: str) -> Array:
    """[head_dim, width]: group by group, in each the queries, then the values, then the keys."""
    in_group = config.num_heads // 8
    group, place = divmod(head, in_group)
    start = group * 3 * config.width // 8 + "qvk".index(part) * config.width // 8
    first = start + place * config.head_dim
    return qkv[first : first + config.head_dim]


def rotated(config: ProGen2Config, x: Array) -> Array:
    """Neighbouring numbers of the first rotary_dims as points of a plane, turned by position."""
    turned = x.copy()
    for position in range(len(x)):
        for j in range(config.rotary_dims // 2):
            angle = position * 10000 ** (-2 * j / config.rotary_dims)
            even, odd = x[position, 2 * j], x[position, 2 * j + 1]
            turned[position, 2 * j] = even * math.cos(angle) - odd * math.sin(angle)
            turned[position, 2 * j + 1] = odd * math.cos(angle) + even * math.sin(angle)
    return turned


def gelu(x: Array) -> Array:
    """The tanh form."""
    found: Array = 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return found
