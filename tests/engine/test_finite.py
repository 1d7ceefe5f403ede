"""What counts as numbers that can be told."""

from dataclasses import dataclass

import numpy as np
import pytest

from primase_server.engine.finite import all_finite


@dataclass(frozen=True, slots=True)
class Output:
    scores: np.ndarray | None
    layers: dict[str, np.ndarray]
    perplexity: float = 1.0


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_bad_number_is_found_wherever_it_is(dtype: type, bad: float) -> None:
    good: np.ndarray = np.zeros((3, 5), dtype)
    spoilt = good.copy()
    spoilt[1, 2] = bad
    assert all_finite(good)
    assert not all_finite(spoilt)
    assert not all_finite(Output(spoilt, {}))
    assert not all_finite([Output(good, {"norm": good}), (Output(None, {"norm": spoilt}),)])


def test_what_has_no_bad_number_is_finite() -> None:
    ids = np.array([1, 2**31 - 1])
    assert all_finite(Output(None, {"ids": ids, "none": np.zeros((0, 4))}))
    assert all_finite(("text", 3, None))


def test_a_single_number_may_be_infinite() -> None:
    assert all_finite(Output(None, {}, perplexity=float("inf")))
