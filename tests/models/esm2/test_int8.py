"""8-bit products stay close enough to be offered, and far enough to be named."""

from primase_server.models.esm2.config import VARIANTS
from tests.models.esm2.int8_error import measure
from tests.models.esm2.reference import build_fair_model


def test_8_bits_stay_within_what_the_documentation_states() -> None:
    config = VARIANTS["esm2_t6_8M_UR50D"]
    error = measure(config, dict(build_fair_model(config).state_dict()))
    assert 0.999 < error.row_cosine < 0.99999
    assert error.mean_cosine > 0.999
    assert error.top_1 > 0.97
    assert 1e-3 < error.logits < 0.05
    assert error.contacts < 0.03
