"""Drawing tokens: the distributions of the official code, and each row by itself."""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from primase_server.engine.generation import Sampling, TokenReport
from primase_server.engine.sampling import NARROW, Draws, Wish, draw, kept_probabilities
from tests.outside import outside

SAMPLING = "goldens/vortex/tiny_7b1m/sampling.npz"
PLAIN = TokenReport()
SETTINGS = {
    "k4_p1.0_T1.0": Sampling(1.0, 4, 1.0),
    "k4_p0.7_T1.0": Sampling(1.0, 4, 0.7),
    "k0_p0.9_T0.7": Sampling(0.7, 0, 0.9),
    "k50_p0.5_T1.3": Sampling(1.3, 50, 0.5),
    "k0_p1.0_T0.5": Sampling(0.5, 0, 1.0),
}


def distribution(logits: NDArray[np.float32], sampling: Sampling) -> NDArray[np.float64]:
    ordered, ids = torch.from_numpy(logits).sort(dim=1, descending=True)
    kept = kept_probabilities(ordered, [sampling] * len(logits))
    found: NDArray[np.float64] = torch.zeros_like(kept).scatter(1, ids, kept).numpy()
    return found


def drawn(logits: torch.Tensor, wish: Wish, numbers: list[float]) -> Draws:
    return draw([logits] * len(numbers), [wish] * len(numbers), np.array(numbers))


@pytest.mark.parametrize("name", SETTINGS)
def test_the_distribution_is_that_of_the_official_code(name: str) -> None:
    with np.load(outside(SAMPLING), allow_pickle=False) as golden:
        found = distribution(golden["logits"], SETTINGS[name])
        assert np.abs(found - golden[f"probs_{name}"]).max() < 1e-6


def test_draws_follow_the_distribution_they_are_made_from() -> None:
    logits = torch.tensor([0.5, 2.0, -1.0, 1.0])
    wish = Wish(Sampling(temperature=0.8, top_k=3), PLAIN)
    numbers = [(i + 0.5) / 10_000 for i in range(10_000)]
    shares = np.bincount(drawn(logits, wish, numbers).token_ids, minlength=4) / 10_000
    expected = distribution(logits[None].numpy(), wish.sampling)[0]
    assert np.abs(shares - expected).max() <= 2e-4
    assert shares[2] == 0


@pytest.mark.parametrize("number", [0.0, 0.999999999999])
def test_the_ends_of_the_range_draw_tokens_that_are_kept(number: float) -> None:
    logits = torch.tensor([3.0, 2.0, 1.0, 0.0])
    [token] = drawn(logits, Wish(Sampling(top_k=2), PLAIN), [number]).token_ids
    assert token == (0 if number == 0 else 1)


def test_temperature_0_and_top_k_1_take_the_most_likely_and_the_first_of_equals() -> None:
    logits = torch.tensor([1.0, 4.0, 4.0, 2.0])
    for sampling in (Sampling(temperature=0.0), Sampling(top_k=1), Sampling(0.0, 3, 0.5)):
        found = drawn(logits, Wish(sampling, PLAIN), [0.99])
        assert found.token_ids.tolist() == [1]
        assert found.log_probs.tolist() == [0.0]


def test_the_smallest_top_p_keeps_one() -> None:
    found = drawn(torch.tensor([1.0, 2.0, 1.5]), Wish(Sampling(top_p=1e-9), PLAIN), [0.99])
    assert found.token_ids.tolist() == [1]


def test_only_allowed_tokens_are_drawn_and_the_mass_outside_is_told() -> None:
    logits = torch.tensor([5.0, 1.0, 0.0, 3.0])
    wish = Wish(Sampling(), PLAIN, allowed=(1, 2))
    found = drawn(logits, wish, [0.0, 0.5, 0.9])
    assert found.token_ids.tolist() == [1, 1, 2]
    outside = (math.exp(5) + math.exp(3)) / (math.exp(5) + math.e + 1 + math.exp(3))
    assert found.mass_outside == pytest.approx([outside] * 3, rel=1e-5)


def test_what_is_told_of_a_token() -> None:
    logits = torch.tensor([2.0, 1.0, 0.0])
    report = TokenReport(logits=True, num_alternatives=2)
    found = drawn(logits, Wish(Sampling(temperature=0.5, top_k=2), report), [0.95])
    total = math.exp(2) + math.e + 1
    assert found.token_ids.tolist() == [1]
    assert found.log_probs[0] == pytest.approx(-math.log1p(math.exp(2)), abs=1e-6)
    assert found.sampled_probs[0] == pytest.approx(math.e / total, abs=1e-6)
    assert found.alternative_ids is not None
    assert found.alternative_ids.tolist() == [[0, 1]]
    assert found.alternative_log_probs is not None
    log_probs = [2 - math.log(total), 1 - math.log(total)]
    assert found.alternative_log_probs[0] == pytest.approx(log_probs, abs=1e-6)
    assert found.logits is not None
    assert found.logits.tolist() == [[2.0, 1.0, 0.0]]


def test_a_row_that_is_not_finite_is_told_and_costs_no_other() -> None:
    logits = torch.tensor([[1.0, math.nan, 0.0], [0.0, 9.0, 0.0]])
    found = draw(list(logits), [Wish(Sampling(temperature=0.0), PLAIN)] * 2, np.array([0.5, 0.5]))
    assert found.is_finite.tolist() == [False, True]
    assert found.token_ids[1] == 1


def test_a_row_is_drawn_alike_alone_and_among_others() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(33, 512, generator=generator)
    kinds = [*SETTINGS.values(), Sampling(temperature=0.0)]
    wishes = [
        Wish(kinds[i % 6], PLAIN, allowed=(65, 67, 71, 84) if i % 2 else None) for i in range(33)
    ]
    numbers = np.random.default_rng(0).random(33)
    together = draw(list(logits), wishes, numbers)
    for row in range(33):
        alone = draw([logits[row]], wishes[row : row + 1], numbers[row : row + 1])
        assert alone.token_ids[0] == together.token_ids[row]
        assert alone.log_probs[0] == together.log_probs[row]


@pytest.mark.parametrize("top_k", [1, NARROW, NARROW + 1])
def test_equals_are_kept_in_order_however_few_are_kept(top_k: int) -> None:
    logits = torch.zeros(200)
    logits[::2] = -0.0
    logits[150] = 1.0
    wish = Wish(Sampling(temperature=1e9, top_k=top_k), PLAIN)
    numbers = (torch.arange(top_k) + 0.5) / top_k
    found = [drawn(logits, wish, [float(number)]).token_ids[0] for number in numbers]
    assert found == [150, *range(top_k - 1)]
