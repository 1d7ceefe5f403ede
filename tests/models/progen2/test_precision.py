"""8-bit products and half precision stay near float32, and no nearer than they can."""

import pytest
import torch

from primase_server.models.cpu_linear import INT8, PREPACKED
from primase_server.models.given_weights import FixtureWeights
from primase_server.models.progen2.weights import load
from tests.models.progen2 import running
from tests.models.progen2.int8_error import compare, middle
from tests.models.progen2.running import proteins, relative_error


def test_products_of_8_bits_are_near() -> None:
    found = compare(middle(PREPACKED.make), middle(INT8.make))
    assert 1e-3 < found.logits < 6e-2
    assert found.log_probs < 0.3
    assert found.likelihood < 2e-2
    assert found.top_1 > 0.9


@pytest.mark.parametrize(
    ("dtype", "least", "most"), [(torch.bfloat16, 1e-3, 5e-2), (torch.float16, 1e-4, 5e-3)]
)
def test_half_precision_is_near(dtype: torch.dtype, least: float, most: float) -> None:
    single, half = load(FixtureWeights()).model, load(FixtureWeights(), dtype=dtype).model
    expected = torch.cat(running.whole(single, proteins()))
    for way in (
        running.whole(half, proteins()),
        running.in_chunks(half, proteins(), 7),
        running.decoded(half, proteins()),
    ):
        found = torch.cat(way)
        assert found.dtype is torch.float32
        assert least < relative_error(found, expected) < most
