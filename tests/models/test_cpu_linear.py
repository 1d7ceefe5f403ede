"""The CPU's kernels: right, told apart when wrong, and holding no weight twice."""

import weakref
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from primase_server.models import cpu_linear
from primase_server.models.cpu_linear import (
    HALF,
    INT8,
    KERNELS,
    PLAIN,
    PREPACKED,
    Kernel,
    check,
    choose,
)
from primase_server.models.half_linear import scale_for
from primase_server.models.linear import Product, plain
from primase_server.settings import CPU_LINEAR

SHAPES = [(1, 33, 320), (7, 960, 320), (64, 320, 1280), (129, 1, 3)]
LARGE = (8, 960, 320)  # enough numbers for 16 bits to be worth it


def random_product(rows: int, num_out: int, num_in: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(rows)
    shapes = ((rows, num_in), (num_out, num_in), (num_out,))
    x, weight, bias = (torch.randn(shape, generator=generator) for shape in shapes)
    return x, weight, bias


def relative_error(found: Tensor, exact: Tensor) -> float:
    return float((found - exact).norm() / exact.norm())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("with_gelu", [False, True])
@pytest.mark.parametrize("kernel", KERNELS.values(), ids=lambda kernel: kernel.name)
@torch.inference_mode()
def test_a_kernel_multiplies(kernel: Kernel, with_gelu: bool, shape: tuple[int, int, int]) -> None:
    x, weight, bias = random_product(*shape)
    exact = F.linear(x.double(), weight.double(), bias.double())
    found = kernel.make(weight, bias, with_gelu=with_gelu)(x)
    assert found.dtype == torch.float32
    assert relative_error(found, F.gelu(exact) if with_gelu else exact) < kernel.tolerance


def test_every_kernel_is_trusted_here() -> None:
    assert [check(kernel).trusted for kernel in KERNELS.values()] == [True] * 4
    names = [line.split(":")[0] for line in cpu_linear.describe()]
    assert names == ["prepacked", "half", "int8", "plain"]


def test_the_choices_of_the_command_are_the_kernels() -> None:
    assert set(CPU_LINEAR) == {cpu_linear.AUTO, *KERNELS}


def test_automatic_is_float32_prepacked() -> None:
    assert choose("auto").kernel is PREPACKED
    assert choose("int8").kernel is INT8
    assert choose("plain").kernel is PLAIN


@pytest.mark.parametrize("with_gelu", [False, True])
@torch.inference_mode()
def test_a_row_of_int8_does_not_depend_on_the_others(with_gelu: bool) -> None:
    x, weight, bias = random_product(8, 96, 64)
    x[3] *= 1000
    product = INT8.make(weight, bias, with_gelu=with_gelu)
    alone = torch.cat([product(row[None]) for row in x])
    assert torch.equal(product(x), alone)


@torch.inference_mode()
def test_int8_takes_rows_and_weights_of_one_value() -> None:
    product = INT8.make(torch.zeros(4, 8), torch.arange(4.0))
    assert torch.equal(product(torch.full((2, 8), 5.0)), torch.arange(4.0).expand(2, 4))


def test_packing_leaves_the_engine_of_torch_as_it_was() -> None:
    before = torch.backends.quantized.engine
    INT8.make(torch.ones(2, 2), torch.ones(2))
    assert torch.backends.quantized.engine == before


@pytest.mark.parametrize("kernel", [PREPACKED, INT8], ids=lambda kernel: kernel.name)
def test_packing_lets_the_weight_go(kernel: Kernel) -> None:
    _, weight, bias = random_product(1, 96, 64)
    storage = weakref.ref(weight.untyped_storage())
    product = kernel.make(weight, bias)
    del weight
    assert storage() is None
    assert product(torch.ones(1, 64)).shape == (1, 96)


@pytest.mark.parametrize("scale", [1.0, 0.02, 2.0**-9, 2.0**-40, 2.0**20])
@torch.inference_mode()
def test_weights_of_bfloat16_lose_nothing_in_16_bits(scale: float) -> None:
    x, weight, bias = random_product(*LARGE)
    weight = (weight * scale).bfloat16().float()
    assert scale_for(weight) is not None
    found = HALF.make(weight, bias)(x)
    assert relative_error(found, F.linear(x.double(), weight.double(), bias.double())) < 5e-7


@torch.inference_mode()
def test_weights_that_16_bits_do_not_hold_stay_in_32() -> None:
    x, weight, bias = random_product(*LARGE)
    assert scale_for(weight) is None
    found = HALF.make(weight, bias)(x)
    assert relative_error(found, F.linear(x.double(), weight.double(), bias.double())) < 5e-7


@torch.inference_mode()
def test_a_row_of_a_fixed_number_is_multiplied_alike_whatever_is_beside_it() -> None:
    x, weight, bias = random_product(*LARGE)
    product = HALF.make(weight.bfloat16().float(), bias)
    expected = product(x)[0]
    for place in range(len(x)):
        others = torch.randn(x.shape)
        others[place] = x[0]
        assert torch.equal(product(others)[place], expected)


def slightly_wrong(weight: Tensor, bias: Tensor | None, *, with_gelu: bool = False) -> Product:
    return plain(weight * 1.0001, bias, with_gelu=with_gelu)


def tanh_gelu(weight: Tensor, bias: Tensor | None, *, with_gelu: bool = False) -> Product:
    if not with_gelu:
        return plain(weight, bias)
    return lambda x: F.gelu(F.linear(x, weight, bias), approximate="tanh")


def not_a_number(weight: Tensor, bias: Tensor | None, *, with_gelu: bool = False) -> Product:
    return lambda x: F.linear(x, weight, bias) * float("nan")


def saturating(weight: Tensor, bias: Tensor | None, *, with_gelu: bool = False) -> Product:
    """As 8-bit products are on processors that add pairs of them in 16 bits."""
    weight_step = weight.abs().amax(1) / 127

    def product(x: Tensor) -> Tensor:
        x_step = x.abs().amax(1, keepdim=True) / 127
        levels = (x / x_step + 128)[:, None] * (weight / weight_step[:, None])
        sums = levels.unflatten(2, (-1, 2)).sum(3).clamp(-32768, 32767).sum(2)
        y = (sums * weight_step - 128 * weight.sum(1)) * x_step + bias
        return F.gelu(y) if with_gelu else y

    return product


@pytest.mark.parametrize("make", [slightly_wrong, tanh_gelu, not_a_number])
def test_a_wrong_kernel_is_not_used(
    make: Callable[..., Product], monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = replace(PREPACKED, make=make)
    monkeypatch.setattr(cpu_linear, "PREPACKED", wrong)
    chosen = choose("auto")
    assert chosen.kernel is PLAIN
    assert chosen.note.startswith(f"{PLAIN.note} (prepacked: WRONG, not used, relative error ")


def test_saturating_int8_is_not_used() -> None:
    assert not check(replace(INT8, make=saturating)).trusted


@pytest.mark.parametrize("error", [AttributeError, RuntimeError, NotImplementedError])
def test_a_missing_kernel_is_not_used(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(weight: Tensor, bias: Tensor | None, *, with_gelu: bool = False) -> Product:
        raise error

    monkeypatch.setitem(KERNELS, "int8", replace(INT8, make=missing))
    chosen = choose("int8")
    assert chosen.kernel is PLAIN
    assert chosen.note == f"{PLAIN.note} (int8: not in this build of torch)"
    assert "int8: not in this build of torch" in cpu_linear.describe()
