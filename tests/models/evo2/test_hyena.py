"""The convolutions, against their formulas in float64, token by token."""

import pytest
import torch
from torch import Tensor

from primase_server.models.evo2.hyena import (
    Convolution,
    MediumConvolution,
    ModalConvolution,
    ShortConvolution,
    fir,
    fir_,
    last_rows,
    toeplitz,
)
from tests.models.evo2.running import relative_error

WIDTH, GROUPS, MODES = 12, 4, 16
CHUNKS = (1, 2, 31, 32, 33, 64, 100, 300)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def by_definition(u: Tensor, taps: Tensor, skip: Tensor | None = None) -> Tensor:
    """y[t] = sum_k taps[k] u[t - k] + skip u[t]; taps: [width, k], newest first."""
    u, taps = u.double(), taps.double()
    y = torch.zeros_like(u) if skip is None else u * skip.double()
    for k in range(min(taps.shape[1], u.shape[1])):
        y[:, k:] += u[:, : u.shape[1] - k] * taps[:, k]
    return y


def in_chunks(convolution: Convolution, u: Tensor, past: Tensor, chunk: int) -> Tensor:
    found = []
    for some in u.split(chunk, dim=1):
        y, past = convolution.extend(some, past)
        found.append(y)
    return torch.cat(found, dim=1)


@pytest.mark.parametrize("chunk", CHUNKS)
def test_short_filters_hold_the_newest_tap_last(chunk: int) -> None:
    u, taps = noise(2, 300, WIDTH), noise(GROUPS, 7, seed=1)
    exact = by_definition(u, taps.flip(1).repeat_interleave(3, dim=0))
    found = in_chunks(ShortConvolution(taps, WIDTH), u, torch.zeros(2, 6, WIDTH), chunk)
    assert relative_error(found, exact) < 1e-6


@pytest.mark.parametrize("chunk", CHUNKS)
def test_medium_filters_hold_the_newest_tap_first(chunk: int) -> None:
    u, taps, skip = noise(2, 1200, WIDTH), noise(GROUPS, 128, seed=1), noise(WIDTH, seed=2)
    u = u if chunk > 30 else u[:, :200]
    exact = by_definition(u, taps.repeat_interleave(3, dim=0), skip)
    found = in_chunks(MediumConvolution(taps, skip), u, torch.zeros(2, 127, WIDTH), chunk)
    assert relative_error(found, exact) < 2e-6


@pytest.mark.parametrize("chunk", CHUNKS)
def test_long_filters_are_sums_of_decaying_modes(chunk: int) -> None:
    u, residues, skip = noise(2, 1000, WIDTH), noise(WIDTH, MODES, seed=1), noise(WIDTH, seed=2)
    u = u if chunk > 30 else u[:, :200]
    log_poles = -torch.linspace(5e-4, 2, WIDTH * MODES).view(WIDTH, MODES)
    times = torch.arange(u.shape[1], dtype=torch.float64)
    taps = (residues.double()[:, None] * (log_poles.double()[:, None] * times[:, None]).exp()).sum(
        2
    )
    exact = by_definition(u, taps, skip)
    convolution = ModalConvolution(log_poles, residues, skip)
    found = in_chunks(convolution, u, torch.zeros(2, WIDTH, MODES), chunk)
    assert relative_error(found, exact) < 2e-6
    _, modes = convolution.extend(u, torch.zeros(2, WIDTH, MODES))
    ages = times.flip(0)[:, None]
    decay = (log_poles.double()[:, None] * ages).exp()  # [width, n, modes]
    assert relative_error(modes, torch.einsum("snc,cnm->scm", u.double(), decay)) < 2e-6


@pytest.mark.parametrize("num_tokens", [1, 2, 127, 128, 129, 300])
def test_a_filter_in_place_is_the_filter(num_tokens: int) -> None:
    x, past, taps = noise(2, num_tokens, WIDTH), noise(2, 2, WIDTH, seed=1), noise(3, WIDTH, seed=2)
    expected = fir(x, past, taps)
    fir_(x, past, taps)
    assert torch.equal(x, expected)


def test_the_past_is_what_was_last() -> None:
    past = torch.arange(6.0).view(1, 6, 1)
    assert last_rows(past, torch.tensor([[[6.0]]])).flatten().tolist() == [1, 2, 3, 4, 5, 6]
    longer = torch.arange(6.0, 20).view(1, 14, 1)
    assert last_rows(past, longer).flatten().tolist() == [14, 15, 16, 17, 18, 19]


def test_a_toeplitz_matrix_has_the_newest_tap_on_its_diagonal() -> None:
    [matrix] = toeplitz(torch.tensor([[1.0, 2.0, 3.0]]), 2)
    assert matrix.tolist() == [[3, 2, 1, 0], [0, 3, 2, 1]]
