"""In bfloat16 ours rounds where the official code rounds.

Random weights turn one flipped bit into noise everywhere, so whole results are held to a bound of
that noise, and the first blocks, which have no FFT in them, to the bit.
"""

from functools import cache

import pytest
import torch
from torch import Tensor, nn

from primase_server.models.evo2.model import Evo2
from tests.models.evo2 import running
from tests.models.evo2.observers import TakeAll
from tests.models.evo2.reference import full_forward, on_cpu
from tests.models.evo2.running import random_bases, relative_error
from tests.models.evo2.tiny import INTERPOLATED, KEYS, official, ours

TOKENS = random_bases(2, 320, seed=1)
TO_THE_BIT = (
    "embedding_layer",
    "blocks.0.pre_norm",
    "blocks.0.projections",
    "blocks.0.filter",
    "blocks.0.out_filter_dense",
    "blocks.0.post_norm",
    "blocks.0.mlp.l1",
    "blocks.0.mlp.l2",
    "blocks.0.mlp.l3",
)
ALMOST = ("blocks.1.filter", "blocks.1.mlp.l3")


@cache
def both(*, interpolated: bool) -> tuple[nn.Module, Evo2]:
    keys = INTERPOLATED if interpolated else KEYS
    return official(keys, dtype=torch.bfloat16), ours(keys, dtype=torch.bfloat16)


def root_mean_square(ours: Tensor, reference: Tensor) -> float:
    """Of the difference, relative to the largest of the reference."""
    return float((ours - reference).pow(2).mean().sqrt() / reference.abs().max())


@pytest.mark.parametrize("interpolated", [True, False])
@pytest.mark.parametrize("chunk", [320, 50])
def test_logits(interpolated: bool, chunk: int) -> None:
    network, model = both(interpolated=interpolated)
    expected = full_forward(network, TOKENS).float()
    found = running.full(model, TOKENS, chunk)
    assert relative_error(found, expected) < 0.08
    assert root_mean_square(found, expected) < 6e-3
    assert torch.equal(found, found.bfloat16().float())  # rounded as the official ones


def test_the_first_blocks_are_equal_to_the_bit() -> None:
    network, model = both(interpolated=False)
    expected = shown_by(network, (*TO_THE_BIT, *ALMOST))
    observer = TakeAll(model.config)
    model.extend([TOKENS[0]], [model.new_state()], observer)
    for name in TO_THE_BIT:
        assert torch.equal(observer.taken[name], expected[name]), name
    for name in ALMOST:
        assert (observer.taken[name] != expected[name]).float().mean() < 0.05, name


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_near_single(dtype: torch.dtype) -> None:
    exact = running.full(ours(), TOKENS)
    found = running.full(ours(dtype=dtype), TOKENS)
    assert root_mean_square(found, exact) < (3e-2 if dtype == torch.bfloat16 else 6e-3)


def shown_by(network: nn.Module, names: tuple[str, ...]) -> dict[str, Tensor]:
    """What modules of the official model give for the first sequence, copied at once."""
    shown: dict[str, Tensor] = {}

    def keep(name: str, output: Tensor | tuple[Tensor, ...]) -> None:
        rows = output[0] if isinstance(output, tuple) else output
        shown[name] = rows.flatten(0, -2).clone()

    modules = dict(network.named_modules())
    hooks = [
        modules[name].register_forward_hook(lambda _, __, output, name=name: keep(name, output))
        for name in names
    ]
    with on_cpu():
        network(TOKENS[:1])
    for hook in hooks:
        hook.remove()
    return shown
