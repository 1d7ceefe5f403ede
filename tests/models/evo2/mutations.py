"""Every known way to get StripedHyena 2 nearly right, one at a time."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor

from primase_server.models.evo2 import hyena, model
from primase_server.models.evo2.config import Evo2Config
from primase_server.models.evo2.model import Evo2
from primase_server.models.key_values import KeyValues
from tests.models.evo2 import tiny

State = dict[str, Tensor]
Rewrite = Callable[[State], State]


def of(*ends: str) -> Callable[[Callable[[Tensor], Tensor]], Rewrite]:
    """Change the tensors whose names end so."""

    def changed(change: Callable[[Tensor], Tensor]) -> Rewrite:
        return lambda state: {
            name: change(tensor) if name.endswith(ends) else tensor
            for name, tensor in state.items()
        }

    return changed


def with_taps(num_taps: int, change: Callable[[Tensor], Tensor]) -> Rewrite:
    """Change the inner filters of that many taps."""
    return lambda state: {
        name: change(tensor)
        if name.endswith("filter.h") and tensor.shape[-1] == num_taps
        else tensor
        for name, tensor in state.items()
    }


def swap(first: str, second: str) -> Rewrite:
    """Exchange two parts of every name."""

    def rename(name: str) -> str:
        return name.replace(first, "\0").replace(second, first).replace("\0", second)

    return lambda state: {rename(name): tensor for name, tensor in state.items()}


def delayed(state: State) -> State:
    """Residues multiplied by their poles: the filter begins one token late."""
    changed = dict(state)
    for name, tensor in state.items():
        if name.endswith("residues"):
            log_poles = state[name.replace("residues", "log_poles")]
            changed[name] = tensor * log_poles[:, :, 0].exp()
    return changed


def without_medium_skip(state: State) -> State:
    """No D in the blocks of medium filters."""
    return _without_skip(state, lambda block: f"{block}h" in state)


def without_long_skip(state: State) -> State:
    """No D in the blocks of long filters."""
    return _without_skip(state, lambda block: f"{block}residues" in state)


def _without_skip(state: State, is_meant: Callable[[str], bool]) -> State:
    return {
        name: torch.zeros_like(tensor)
        if name.endswith("filter.D") and is_meant(name.removesuffix("D"))
        else tensor
        for name, tensor in state.items()
    }


def recomputed(inv_freq: Tensor) -> Tensor:
    """The exact frequencies, which no file holds."""
    return 1e4 ** -(torch.arange(len(inv_freq)) / len(inv_freq))


def zeros(tensor: Tensor) -> Tensor:
    """As if it were not there."""
    return torch.zeros_like(tensor)


def flipped(tensor: Tensor) -> Tensor:
    """Taps in the other order."""
    return tensor.flip(-1)


def rounded(tensor: Tensor) -> Tensor:
    """Through bfloat16."""
    return tensor.bfloat16().float()


def tiled(tensor: Tensor) -> Tensor:
    """Filters by channel, channel c having filter c % groups."""
    return tensor.repeat(int(tiny.KEYS["hidden_size"]) // len(tensor), 1, 1)


def interleaved(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding over neighbouring pairs."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, odd * cos + even * sin), dim=-1).flatten(-2)


def inside_the_root(x: Tensor, scale: Tensor, eps: float) -> Tensor:
    """The usual RMSNorm."""
    return x / (x.pow(2).mean(-1, keepdim=True) + eps).sqrt() * scale


def chunk_by_chunk(positions: Tensor, inv_freq: Tensor, scale: float) -> Tensor:
    """Positions counted anew in each chunk."""
    return (positions - positions[0]).float()[:, None] / scale * inv_freq


REWRITES: Mapping[str, Rewrite] = {
    "inv_freq computed, not read": of("inv_freq")(recomputed),
    "short taps reversed": of("short_filter_weight")(flipped),
    "HCS taps reversed": with_taps(7, flipped),
    "HCM taps reversed": with_taps(128, flipped),
    "HCM without D": without_medium_skip,
    "HCL without D": without_long_skip,
    "HCL one token late": delayed,
    "HCL poles and residues in bfloat16": of("log_poles", "residues")(rounded),
    "l1 and l2 swapped": swap(".mlp.l1.", ".mlp.l2."),
    "no bias behind the convolutions": of("out_filter_dense.bias")(zeros),
    "no bias behind attention": of("out_proj.bias")(zeros),
    "norms of a block swapped": swap(".pre_norm.", ".post_norm."),
    "no scale of the final norm": lambda state: state | {"norm.scale": torch.ones(64)},
}
CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "positions not interpolated": {"position_scale": 1.0},
    "Wqkv rows taken in order": {"column_split": False},
    "projections taken as thirds": {"interleave": False},
    "x1 and x2 swapped": {"flip_x1x2": True},
    "GELU in every block": {"gelu_everywhere": True},
    "no epsilon": {"eps": 1e-30},
}
PATCHES: Mapping[str, tuple[Any, str, Any]] = {
    "rotary over pairs": (model, "rotate", interleaved),
    "no rotary": (model, "rotate", lambda x, cos, sin: x.clone()),
    "epsilon inside the root": (model, "rms_norm", inside_the_root),
    "modes forgotten": (hyena, "decayed", lambda added, decay, modes: added),
    "GELU in no block": (Evo2Config, "has_gelu", lambda config, layer: False),
    "tanh GELU": (model, "gelu_", lambda x: F.gelu(x, approximate="tanh")),
}
IN_CHUNKS: Mapping[str, tuple[Any, str, Any]] = {
    "positions by chunk": (model, "rotary_angles", chunk_by_chunk),
    "pasts forgotten": (model, "last_rows", lambda past, x: torch.zeros_like(past)),
    "inner pasts forgotten": (hyena, "last_rows", lambda past, x: torch.zeros_like(past)),
    "a chunk blind to its past": (
        KeyValues,
        "append",
        lambda past, keys_values: (keys_values[0], keys_values[1]),
    ),
}
"""Shown by chunks only."""


@contextlib.contextmanager
def mutated(name: str, *, interpolated: bool) -> Iterator[Evo2]:
    """A model with one thing wrong; `none` for one without."""
    keys = tiny.INTERPOLATED if interpolated else tiny.KEYS
    config = replace(Evo2Config.from_mapping(keys), **CONFIGS.get(name, {}))
    state = REWRITES.get(name, dict)(tiny.make_state(keys))
    if name == "filters tiled":
        state = of("filter.h")(tiled)(state)
        config = replace(config, hcs_groups=config.width, hcm_groups=config.width)
    patch = PATCHES.get(name) or IN_CHUNKS.get(name)
    with mock.patch.object(*patch) if patch else contextlib.nullcontext():
        yield Evo2(config, state, [torch.device("cpu")] * config.num_layers)


MUTATIONS = (*REWRITES, *CONFIGS, *PATCHES, "filters tiled")
ONE_OF_TWO = {"positions not interpolated": True}
"""Mutations that only models with interpolated positions can show."""
