"""What a pass is said to cost, against what it takes."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from primase_server.models import cpu_linear
from primase_server.models.esm2.config import VARIANTS, Esm2Config
from primase_server.models.esm2.cost import flops, heads_per_chunk, result_bytes, workspace_bytes
from primase_server.models.esm2.model import Esm2
from primase_server.models.esm2.passes import Esm2Output, Esm2Pass
from primase_server.models.esm2.random_state import RandomState
from tests.models.esm2.everything import CPU, make_runner
from tests.models.live_bytes import LiveBytes

OFFICIAL = VARIANTS["esm2_t6_8M_UR50D"]
CONFIG = replace(OFFICIAL, num_layers=2)
FIXTURE = replace(VARIANTS["fixture"], num_layers=2)
EVERY_HEAD = tuple((block, head) for block in range(2) for head in range(20))
PASSES: list[tuple[int, dict[str, Any]]] = [
    (500, {"repr_layers": (2,), "mean": True}),
    (300, {"repr_layers": (0, 1, 2), "per_token": True, "bos": True}),
    (500, {"logit_rows": None}),
    (300, {"contacts": True}),
    (1000, {"contacts": True}),
    (1000, {"attention_profiles": True}),
    (300, {"attention_maps": EVERY_HEAD}),
]
KERNELS = [cpu_linear.PLAIN, cpu_linear.PREPACKED, cpu_linear.INT8]
LENGTHS = (60, 250, 1000, 2000)
ENCODED: dict[str, dict[str, Any]] = {
    "mean": {"repr_layers": (2,), "mean": True},
    "per_token": {"repr_layers": (2,), "per_token": True},
    "every layer": {"repr_layers": (0, 1, 2), "per_token": True},
    "contacts": {"contacts": True},
    "logits": {"logit_rows": None},
}


@pytest.fixture(scope="module", params=[torch.float32, torch.bfloat16], ids=str)
def model(request: pytest.FixtureRequest) -> Esm2:
    return Esm2(CONFIG, RandomState(CONFIG, seed=0), CPU, request.param)


def make_pass(num_tokens: int, wanted: dict[str, Any]) -> Esm2Pass:
    return Esm2Pass(np.full(num_tokens, 5), **wanted)


def peak_bytes(model: Esm2, work: Esm2Pass) -> int:
    with LiveBytes() as held:
        make_runner(model).run([work])
    peak: int = held.peak
    return peak


@pytest.mark.parametrize(("num_tokens", "wanted"), PASSES)
def test_the_workspace_is_close_to_the_bytes_held(
    num_tokens: int, wanted: dict[str, Any], model: Esm2
) -> None:
    work = make_pass(num_tokens, wanted)
    said = workspace_bytes(CONFIG, work, model.dtype.itemsize)
    assert peak_bytes(model, work) == pytest.approx(said, rel=0.15)


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
@pytest.mark.parametrize("config", [FIXTURE, CONFIG], ids=["fixture", "8M"])
def test_the_workspace_of_encode_is_within_15_percent(
    config: Esm2Config, kernel: cpu_linear.Kernel
) -> None:
    with torch.inference_mode():
        model = Esm2(config, RandomState(config, seed=0), CPU, make=kernel.make)
    # 8-bit products keep 256 rows of levels beside theirs, a megabyte that only short passes notice
    lengths = [n for n in LENGTHS if n > 256 or kernel is not cpu_linear.INT8]
    passes = {(name, n): make_pass(n, wanted) for name, wanted in ENCODED.items() for n in lengths}
    ratios = {
        case: peak_bytes(model, work) / workspace_bytes(config, work)
        for case, work in passes.items()
    }
    assert {case: ratio for case, ratio in ratios.items() if not 0.85 <= ratio <= 1.15} == {}


def test_the_workspace_of_a_batch_is_at_most_the_sum(model: Esm2) -> None:
    passes = [make_pass(n, wanted) for n, wanted in PASSES[:4]]
    with LiveBytes() as held:
        make_runner(model).run(passes)
    assert held.peak <= sum(make_runner(model).workspace_bytes(work) for work in passes)


@pytest.mark.parametrize(("num_tokens", "wanted"), PASSES)
def test_result_bytes_are_those_of_the_output(num_tokens: int, wanted: dict[str, Any]) -> None:
    work = make_pass(num_tokens // 10, wanted)
    model = Esm2(CONFIG, RandomState(CONFIG, seed=0), CPU)
    [output] = make_runner(model).run([work])
    arrays = [getattr(output, name) for name in Esm2Output.__slots__]
    assert result_bytes(CONFIG, work) == sum(a.nbytes for a in arrays if a is not None)


def test_attention_is_materialised_a_few_heads_at_a_time() -> None:
    assert heads_per_chunk(20, 100) == 20
    assert heads_per_chunk(20, 250) == 4
    assert heads_per_chunk(20, 2000) == 1
    assert heads_per_chunk(20, 2000, "cuda") == 4
    assert heads_per_chunk(20, 100_000, "cuda") == 1


def test_operations_are_those_of_the_products() -> None:
    work = make_pass(1024, {"repr_layers": (6,), "mean": True})
    linear, attention = 0.0147e9 * 1024, 0.0079e9 * 1024  # the figures published per token
    assert flops(OFFICIAL, work) == pytest.approx(linear + attention, rel=0.01)
    assert flops(OFFICIAL, make_pass(1024, {"repr_layers": (3,)})) * 2 == flops(OFFICIAL, work)


@pytest.mark.parametrize(
    ("variant", "num_parameters"),
    [
        ("esm2_t6_8M_UR50D", 7_512_474),
        ("esm2_t12_35M_UR50D", 33_501_394),
        ("esm2_t30_150M_UR50D", 148_140_154),
        ("esm2_t33_650M_UR50D", 651_043_254),
        ("esm2_t36_3B_UR50D", 2_839_005_634),
        ("esm2_t48_15B_UR50D", 15_129_100_194),
    ],
)
def test_parameters_are_those_published(variant: str, num_parameters: int) -> None:
    assert VARIANTS[variant].num_parameters == num_parameters
