"""The bytes said of a pass and its state are those that are held, within 15 %."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from primase_server.models.card import Weights, WeightsSource
from primase_server.models.evo2.config import VARIANTS, Evo2Config
from primase_server.models.evo2.cost import flops, result_bytes, workspace_bytes
from primase_server.models.evo2.model import Evo2
from primase_server.models.evo2.passes import (
    Carry,
    Evo2Pass,
    Read,
    ReadOutput,
    ScoreOptions,
    TapOptions,
)
from primase_server.models.evo2.pooling import Pooling
from primase_server.models.evo2.random_state import RandomState
from primase_server.models.evo2.runner import Evo2Runner
from tests.models.live_bytes import LiveBytes

FIXTURE = VARIANTS["evo2_fixture"]
WIDE = replace(
    FIXTURE,
    num_layers=4,
    width=512,
    num_heads=4,
    inner_width=1408,
    hcs_layers=(0,),
    hcm_layers=(1,),
    hcl_layers=(2,),
    attention_layers=(3,),
    hcs_groups=32,
    hcm_groups=32,
)
CONFIGS = {"fixture": FIXTURE, "wide": WIDE}
WANTED: Mapping[str, dict[str, Any]] = {
    "last": {"taps": ("norm",), "tap_options": TapOptions(Pooling.LAST)},
    "rows": {"taps": ("norm",)},
    "three layers": {"taps": ("blocks.1.projections", "blocks.2", "blocks.3.mlp.l1")},
    "first block": {"taps": ("blocks.0",)},
    "logits": {"taps": ("unembed",), "tap_options": TapOptions(all_logits=True)},
    "sum": {"score": ScoreOptions(log_probs=True)},
    "score": {"score": ScoreOptions(log_probs=True, entropies=True, num_alternatives=4)},
}
LENGTHS = (60, 1000)


@cache
def runner(name: str, dtype: torch.dtype) -> Evo2Runner:
    config = CONFIGS[name]
    devices = [torch.device("cpu")] * config.num_layers
    with torch.inference_mode():
        model = Evo2(config, RandomState(config, seed=0), devices, dtype)
    return Evo2Runner(model, Weights(WeightsSource.RANDOM))


def tokens(num_tokens: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.full(num_tokens, ord("A"), dtype=np.uint8)


def work_of(carry: Carry, num_tokens: int, start: int, wanted: dict[str, Any]) -> Evo2Pass:
    return Evo2Pass((Read(carry, tokens(num_tokens), start=start, **wanted),))


def held_and_said(
    name: str, dtype: torch.dtype, num_tokens: int, wanted: dict[str, Any]
) -> list[tuple[int, int]]:
    """Of a chunk and of the next one, the most bytes held, and those said, states in both."""
    found, carry = [], Carry()
    runner(name, dtype)  # is there before bytes are counted
    with LiveBytes() as count:
        for start in (0, num_tokens):
            work = work_of(carry, num_tokens, start, wanted)
            count.peak = count.live
            runner(name, dtype).run([work])
            assert carry.state is not None
            said = workspace_bytes(CONFIGS[name], work, dtype.itemsize) + carry.state.num_bytes
            found.append((count.peak, said))
    return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", CONFIGS)
def test_the_workspace_and_the_state_are_within_15_percent(name: str, dtype: torch.dtype) -> None:
    ratios = {
        (wanted, num_tokens, chunk): held / said
        for wanted, options in WANTED.items()
        for num_tokens in LENGTHS
        for chunk, (held, said) in enumerate(held_and_said(name, dtype, num_tokens, options))
    }
    assert {case: ratio for case, ratio in ratios.items() if not 0.85 <= ratio <= 1.15} == {}


@pytest.mark.parametrize("name", CONFIGS)
def test_passes_that_run_together_take_at_most_their_sum(name: str) -> None:
    passes = [
        work_of(Carry(), num_tokens, 0, wanted)
        for num_tokens in (200, 60, 60)
        for wanted in WANTED.values()
    ]
    by = runner(name, torch.float32)
    with LiveBytes() as count:
        by.run(passes)
    states = [read.carry.state for work in passes for read in work.reads]
    said = sum(workspace_bytes(CONFIGS[name], work, 4) for work in passes)
    assert count.peak <= said + sum(state.num_bytes for state in states if state is not None)


@pytest.mark.parametrize("wanted", WANTED.values(), ids=WANTED)
@pytest.mark.parametrize("pooling", [None, Pooling.WINDOW])
def test_result_bytes_are_those_of_the_output(
    wanted: dict[str, Any], pooling: Pooling | None
) -> None:
    if pooling is Pooling.WINDOW:
        if "taps" not in wanted:
            return
        wanted = wanted | {"tap_options": TapOptions(Pooling.WINDOW, 9)}
    [read] = work_of(Carry(), 100, 0, wanted).reads
    read = replace(read, is_last=True)
    [output] = runner("fixture", torch.float32).run([Evo2Pass((read,))])
    assert result_bytes(FIXTURE, read) == bytes_of(output.reads[0])


def bytes_of(output: ReadOutput) -> int:
    num_bytes = sum(rows.nbytes for rows in output.layers.values())
    if (scores := output.scores) is not None:
        alternatives = scores.alternative_ids.nbytes + scores.alternative_log_probs.nbytes
        num_bytes += scores.log_probs.nbytes + scores.entropies.nbytes + alternatives
    return num_bytes


def test_operations_are_two_for_each_weight_and_four_for_each_pair() -> None:
    config: Evo2Config = VARIANTS["evo2_7b"]
    wanted = WANTED["sum"]
    first = flops(config, work_of(Carry(), 8192, 0, wanted))
    pairs = 5 * 4 * config.width * 8192 * 8192 // 2
    assert first == pytest.approx(2 * config.num_parameters * 8192 + pairs, rel=1e-6)
    assert 6.4e9 < config.num_parameters < 6.6e9
    second = flops(config, work_of(Carry(), 8192, 8192, wanted))
    assert second - first == 2 * pairs


def test_blocks_that_do_not_run_cost_nothing() -> None:
    read = {"taps": ("blocks.0",)}
    assert flops(WIDE, work_of(Carry(), 100, 0, read)) == pytest.approx(
        flops(WIDE, work_of(Carry(), 100, 0, WANTED["sum"])) / 5, rel=0.1
    )
    assert flops(WIDE, work_of(Carry(), 100, 0, {"taps": ("embedding_layer",)})) == 0
