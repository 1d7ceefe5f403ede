"""8-bit projections against the formula in float64, where there is no GPU."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from primase_server.models.errors import CheckpointError
from primase_server.models.evo2 import projections
from primase_server.models.evo2.extra_state import Fp8Scales
from primase_server.models.evo2.projections import (
    choose,
    emulated_product,
    emulated_projection,
    exact_product,
    native_product,
    native_projection,
    on_grid,
)
from primase_server.models.linear import Product, plain
from tests.models.evo2.extra_states import extra_state

CPU = torch.device("cpu")


def nearest_e4m3(value: float) -> float:
    """The nearest value of e4m3 by its definition: ties to the even mantissa, saturating.

    e4m3 has 3 bits of mantissa, its least exponent is -6, its greatest value 448.
    """
    if value == 0:
        return value
    exponent = max(math.floor(math.log2(abs(value))), -6)
    step = 2.0 ** (exponent - 3)
    return math.copysign(min(round(abs(value) / step) * step, 448.0), value)


def matrices(seed: int, rows: int = 37, num_out: int = 48, num_in: int = 64) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    sizes = ((rows, num_in), (num_out, num_in))
    return tuple(torch.randn(size, generator=generator) * 0.5 for size in sizes)


@given(st.floats(-600, 600, width=32), st.floats(2**-6, 128, width=32))
def test_the_grid_is_that_of_e4m3(value: float, scale: float) -> None:
    found = on_grid(torch.tensor([value]), scale).double().item()
    assert found == nearest_e4m3(float(torch.tensor(value) * scale))


def test_the_grid_saturates_and_keeps_what_is_no_number() -> None:
    found = on_grid(torch.tensor([500.0, -1e30, math.inf, math.nan]), 2.0).tolist()
    assert found[:3] == [448.0, -448.0, 448.0]
    assert math.isnan(found[3])


def test_rounding_does_not_change_what_it_is_given() -> None:
    values = torch.tensor([1.06, -3000.0])
    on_grid(values, 3.0)
    assert values.tolist() == torch.tensor([1.06, -3000.0]).tolist()


@given(
    seed=st.integers(0, 1000),
    input_log2=st.floats(-4, 12),
    weight_log2=st.floats(-4, 12),
    rows=st.integers(1, 40),
)
def test_emulation_is_the_formula(
    seed: int, input_log2: float, weight_log2: float, rows: int
) -> None:
    x, weight = matrices(seed, rows=rows)
    scales = Fp8Scales(2.0**input_log2, 2.0**weight_log2)
    exact = exact_product(x, weight, scales)
    found = emulated_product(weight, scales)(x).double()
    assert torch.linalg.vector_norm(found - exact) <= 2e-6 * torch.linalg.vector_norm(exact)


@pytest.mark.parametrize("rows", [1, 15, 16, 37])
@pytest.mark.parametrize(("dtype", "most"), [(torch.float32, 1e-6), (torch.bfloat16, 4e-3)])
def test_the_native_product_is_the_formula(rows: int, dtype: torch.dtype, most: float) -> None:
    """On a CPU torch has it too, slowly; what a GPU makes of it, tests/gpu sees."""
    x, weight = (matrix.to(dtype) for matrix in matrices(rows, rows=rows))
    scales = Fp8Scales(61.3, 301.7)
    exact = exact_product(x, weight, scales)
    found = native_product(weight, scales)(x)
    assert (found.dtype, found.shape) == (dtype, exact.shape)
    error = torch.linalg.vector_norm(found.double() - exact)
    assert error <= most * torch.linalg.vector_norm(exact)


@pytest.mark.parametrize(("dtype", "half_step"), [(torch.bfloat16, 2**-8), (torch.float16, 2**-10)])
def test_half_precision_is_rounded_once(dtype: torch.dtype, half_step: float) -> None:
    x, weight = (matrix.to(dtype) for matrix in matrices(3))
    scales = Fp8Scales(97.3, 411.7)
    found = emulated_product(weight, scales)(x)
    assert found.dtype == dtype
    exact = exact_product(x, weight, scales)
    assert ((found.double() - exact).abs() <= half_step * exact.abs() + 1e-5).all()


def test_weights_in_pieces_are_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight = matrices(5)
    scales = Fp8Scales(12.0, 34.0)
    whole = emulated_product(weight, scales)(x)
    monkeypatch.setattr(projections, "_PIECE", 7)
    assert torch.allclose(emulated_product(weight, scales)(x), whole, rtol=1e-6, atol=1e-6)


def test_scales_come_out_of_the_checkpoint() -> None:
    x, weight = matrices(7)
    product = emulated_projection(weight, extra_state(48.0, 320.0))
    assert torch.equal(product(x), emulated_product(weight, Fp8Scales(48.0, 320.0))(x))


def test_scales_that_are_needed_must_be_there() -> None:
    _, weight = matrices(7)
    for make in (emulated_projection, native_projection):
        with pytest.raises(CheckpointError, match="_extra_state cannot be read"):
            make(weight, None)


def test_a_row_does_not_depend_on_the_others() -> None:
    x, weight = matrices(9)
    product = emulated_product(weight, Fp8Scales(48.0, 320.0))
    alone = torch.cat([product(row[None]) for row in x])
    assert torch.allclose(product(x), alone, rtol=1e-6, atol=1e-6)


# The choice


def test_models_that_need_no_8_bits_have_none() -> None:
    chosen = choose(CPU, needs_fp8=False)
    assert (chosen.make, chosen.note) == (None, "")


def test_weights_that_nobody_trained_have_no_scales() -> None:
    chosen = choose(CPU, needs_fp8=True, has_scales=False)
    assert chosen.make is None
    assert chosen.note == "weights without FP8 scales: no product is in FP8"


def test_a_cpu_emulates() -> None:
    chosen = choose(CPU, needs_fp8=True)
    assert chosen.make is emulated_projection
    assert chosen.note.endswith("emulated in float32: cpu has no 8-bit products")


def test_a_native_product_is_trusted_once_it_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projections, "_has_native", lambda _: True)
    monkeypatch.setattr(projections, "native_product", emulated_product)
    chosen = choose(CPU, needs_fp8=True)
    assert chosen.make is native_projection
    assert chosen.note == "input projections in FP8 (e4m3) as trained, by the GPU's own products"


def wrong(weight: Tensor, scales: Fp8Scales) -> Product:
    return plain(weight * 1.02, torch.zeros(len(weight), dtype=weight.dtype))


def missing(weight: Tensor, scales: Fp8Scales) -> Product:
    raise RuntimeError("not compiled for this GPU")


@pytest.mark.parametrize("product", [wrong, missing])
def test_a_native_product_that_is_wrong_is_not_used(
    monkeypatch: pytest.MonkeyPatch, product: object
) -> None:
    monkeypatch.setattr(projections, "_has_native", lambda _: True)
    monkeypatch.setattr(projections, "native_product", product)
    chosen = choose(CPU, needs_fp8=True)
    assert chosen.make is emulated_projection
    assert "cpu's own are WRONG, relative error" in chosen.note
