"""Ways to get ProGen2 nearly right, each made of our model with one thing wrong."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor

from primase_server.models.key_values import KeyValues
from primase_server.models.progen2 import model as module
from primase_server.models.progen2.config import ProGen2Config
from primase_server.models.progen2.model import Block, Mix, Norm, ProGen2, Rotary
from primase_server.models.progen2.state import SequenceState
from primase_server.models.rotary import rotate
from tests.models.progen2.tiny import MAIN, state

_GELU, _SDPA = F.gelu, "scaled_dot_product_attention"

Change = Callable[[], AbstractContextManager[object]]
"""Makes a context manager, under which the model is made and asked."""


def split(weight: Tensor, config: ProGen2Config, *, order: str, flat: bool, pairs: bool) -> Tensor:
    """The rows as another layout would have them; with `pairs` queries and keys are not moved."""
    groups = 1 if flat else 8
    by_group = weight.view(groups, 3, -1, weight.shape[1])
    parts = {part: by_group[:, order.index(part)].reshape(-1, weight.shape[1]) for part in "qkv"}
    if not pairs:
        turned = config.rotary_dims
        moved = [*range(0, turned, 2), *range(1, turned, 2), *range(turned, config.head_dim)]
        for part in "qk":
            by_head = parts[part].view(config.num_heads, config.head_dim, -1)
            parts[part] = by_head[:, moved].reshape(-1, weight.shape[1])
    return torch.cat([parts[part] for part in "qkv"])


def mix_nothing(layer: int, qkv: Tensor, mixed: Tensor) -> None:
    """Attention that gives zeros."""
    mixed.zero_()


def in_sequence() -> Callable[[Block, Tensor, Rotary, Mix], None]:
    """Attention first, and the feed-forward half on what it gave."""
    at_once = Block.__call__

    def one_after_the_other(block: Block, x: Tensor, rotary: Rotary, mix: Mix) -> None:
        no_input = x.new_zeros(len(x), block.config.width + block.config.inner_width)
        with patch.object(F, "gelu", lambda inner, approximate: torch.zeros_like(inner)):
            at_once(block, x, rotary, mix)
        x -= block.out(no_input)  # the bias, which comes once
        at_once(block, x, rotary, mix_nothing)

    return one_after_the_other


def with_tensors(change: Callable[[str, Tensor], Tensor]) -> Mapping[str, Tensor]:
    return {name: change(name, tensor) for name, tensor in state(MAIN).items()}


def zero(end: str) -> Mapping[str, Tensor]:
    """The checkpoint with zeros in the tensors whose names end so."""
    return with_tensors(lambda name, t: torch.zeros_like(t) if name.endswith(end) else t)


def tables(num_positions: int, num_dims: int, *, exponent_of: int) -> tuple[Tensor, Tensor]:
    frequencies = 10000.0 ** (-torch.arange(0, num_dims, 2) / exponent_of)
    angles = torch.arange(num_positions)[:, None] * frequencies
    return angles.cos(), angles.sin()


def scale(factor: float) -> AbstractContextManager[object]:
    """Scores multiplied by so much."""
    attend = F.scaled_dot_product_attention
    return patch.object(F, _SDPA, lambda q, *rest, **how: attend(q * factor, *rest, **how))


def layout(order: str, *, flat: bool, pairs: bool = False) -> AbstractContextManager[object]:
    how = partial(split, order=order, flat=flat, pairs=pairs)
    return patch.object(module, "split_qkv", how)


def everywhere(q: Tensor, k: Tensor, v: Tensor, mask: object = None, **_: object) -> Tensor:
    """Attention that sees what follows too."""
    found: Tensor = torch.softmax(q @ k.mT / math.sqrt(q.shape[-1]), -1) @ v
    return found


CODE: Mapping[str, Change] = {
    "queries, keys, values in a group": lambda: layout("qkv", flat=False),
    "values and queries swapped": lambda: layout("vqk", flat=False),
    "queries, keys, values of all groups": lambda: layout("qkv", flat=True),
    "queries, values, keys of all groups": lambda: layout("qvk", flat=True),
    "rotary over halves, rows not moved": lambda: layout("qvk", flat=False, pairs=True),
    "rotary exponent of the head": lambda: patch.object(
        module, "rotary_tables", partial(tables, exponent_of=MAIN.head_dim)
    ),
    "no rotary": lambda: patch.object(module, "rotate", lambda x, cos, sin: x),
    "rotated backwards": lambda: patch.object(
        module, "rotate", lambda x, cos, sin, turn=rotate: turn(x, cos, -sin)
    ),
    "block in sequence": lambda: patch.object(Block, "__call__", in_sequence()),
    "erf GELU": lambda: patch.object(F, "gelu", lambda x, approximate: _GELU(x)),
    "no GELU": lambda: patch.object(F, "gelu", lambda x, approximate: x),
    "scores not scaled": lambda: scale(math.sqrt(MAIN.head_dim)),
    "scores scaled by the rotary part": lambda: scale(math.sqrt(MAIN.head_dim / MAIN.rotary_dims)),
    "no causal mask": lambda: patch.object(F, _SDPA, everywhere),
    "no norms": lambda: patch.object(Norm, "__call__", lambda norm, x: x),
}
"""By what is wrong with the code."""

TENSORS: Mapping[str, Callable[[], Mapping[str, Tensor]]] = {
    "tied head": lambda: {**state(MAIN), "lm_head.weight": state(MAIN)["transformer.wte.weight"]},
    "no bias of the head": lambda: zero("lm_head.bias"),
    "no bias of the final norm": lambda: zero("ln_f.bias"),
    "no bias of the norms": lambda: zero("ln_1.bias"),
    "no bias into the feed-forward half": lambda: zero("fc_in.bias"),
    "no bias out of the feed-forward half": lambda: zero("fc_out.bias"),
    "no scale of the final norm": lambda: with_tensors(
        lambda name, t: torch.ones_like(t) if name.endswith("ln_f.weight") else t
    ),
}
"""By what is missed in the file."""

CONFIGS: Mapping[str, ProGen2Config] = {
    "epsilon 1e-12": replace(MAIN, eps=1e-12),
    "rotary over the whole head": replace(MAIN, rotary_dims=MAIN.head_dim),
    "rotary over less": replace(MAIN, rotary_dims=MAIN.rotary_dims - 2),
    "half the heads": replace(MAIN, num_heads=MAIN.num_heads // 2),
}
"""By what is wrong with the shape."""

IN_CHUNKS: Mapping[str, Change] = {
    "positions by chunk": lambda: patch.object(
        ProGen2,
        "places",
        lambda model, starts, lengths, places=ProGen2.places: places(
            model, [0] * len(starts), lengths
        ),
    ),
    "a chunk blind to its past": lambda: patch.object(
        SequenceState,
        "past",
        lambda state, layer: KeyValues(state.stored[layer]),
    ),
}
"""Wrong only where a text is read in chunks."""

MUTATIONS = (*CODE, *TENSORS, *CONFIGS)


@contextmanager
def mutated(name: str) -> Iterator[ProGen2]:
    """Our model with that wrong; `none` for nothing."""
    tensors = TENSORS[name]() if name in TENSORS else state(MAIN)
    config = CONFIGS.get(name, MAIN)
    change = CODE.get(name) or IN_CHUNKS.get(name)
    if change is None:
        yield ProGen2(config, tensors, torch.device("cpu"))
        return
    with change():
        yield ProGen2(config, tensors, torch.device("cpu"))
