"""The bytes said of a pass are those that are held, within 15 %."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from primase_server.models.card import Weights, WeightsSource
from primase_server.models.progen2.config import VARIANTS, ProGen2Config
from primase_server.models.progen2.cost import chunk_bytes, flops, workspace_bytes
from primase_server.models.progen2.generator import CHUNK_TOKENS
from primase_server.models.progen2.model import ProGen2
from primase_server.models.progen2.passes import ProGen2Pass
from primase_server.models.progen2.random_state import RandomState
from primase_server.models.progen2.runner import ProGen2Runner
from primase_server.models.progen2.state import state_bytes
from tests.models.live_bytes import LiveBytes

FIXTURE = VARIANTS["progen2-fixture"]
WIDE = replace(FIXTURE, width=512, num_heads=8, inner_width=2048, rotary_dims=32, num_layers=2)
CONFIGS = {"fixture": FIXTURE, "wide": WIDE}
LENGTHS = (60, 1022)


@cache
def runner(name: str, dtype: torch.dtype) -> ProGen2Runner:
    config = CONFIGS[name]
    with torch.inference_mode():
        model = ProGen2(config, RandomState(config, seed=0), torch.device("cpu"), dtype)
    return ProGen2Runner(model, Weights(WeightsSource.RANDOM))


def work_of(num_residues: int) -> ProGen2Pass:
    return ProGen2Pass(np.concatenate([[3], np.full(num_residues, 5), [4]]))


def held(name: str, dtype: torch.dtype, *lengths: int) -> int:
    by = runner(name, dtype)  # is there before bytes are counted
    with LiveBytes() as count:
        by.run([work_of(length) for length in lengths])
    peak: int = count.peak
    return peak


def said(name: str, dtype: torch.dtype, num_residues: int) -> int:
    return workspace_bytes(CONFIGS[name], work_of(num_residues).num_tokens, dtype.itemsize)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", CONFIGS)
def test_the_workspace_is_within_15_percent(name: str, dtype: torch.dtype) -> None:
    ratios = {n: held(name, dtype, n) / said(name, dtype, n) for n in LENGTHS}
    assert {n: ratio for n, ratio in ratios.items() if not 0.85 <= ratio <= 1.15} == {}


@pytest.mark.parametrize("name", CONFIGS)
def test_passes_that_run_together_take_at_most_their_sum(name: str) -> None:
    lengths = (200, 60, 1000, 60, 700)
    together = held(name, torch.float32, *lengths)
    assert together <= sum(said(name, torch.float32, n) for n in lengths)


def test_operations_are_two_for_each_weight_and_four_for_each_pair() -> None:
    config: ProGen2Config = VARIANTS["progen2-small"]
    pairs = config.num_layers * 4 * config.width * 1023 * 1024 // 2
    expected = 2 * config.num_parameters * 1023 + pairs
    assert flops(config, 1023) == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", CONFIGS)
def test_a_context_that_is_read_holds_its_chunk_and_its_state(
    name: str, dtype: torch.dtype
) -> None:
    model = runner(name, dtype).model
    ratios: list[float] = []
    with torch.inference_mode(), LiveBytes() as count:
        state = model.new_state(1000)
        for num_before in range(0, 3 * CHUNK_TOKENS, CHUNK_TOKENS):
            count.peak = count.live
            model.extend([torch.full((CHUNK_TOKENS,), 5)], [state])
            said = chunk_bytes(model.config, CHUNK_TOKENS, num_before, dtype.itemsize)
            said += state_bytes(model.config, 1000, dtype.itemsize)
            ratios.append(count.peak / said)
    assert ratios == [pytest.approx(1, abs=0.15)] * 3
