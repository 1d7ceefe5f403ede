"""Every output against fair-esm 2.0.0, on seeded weights."""

from dataclasses import dataclass
from functools import cache

import pytest

from primase_server.models.esm2.config import VARIANTS
from primase_server.models.esm2.model import Esm2
from tests.models.esm2.everything import CPU, run_everything
from tests.models.esm2.gate import failures
from tests.models.esm2.reference import Everything, build_fair_model, run_fair
from tests.models.esm2.sequences import mixed_batch


@dataclass(frozen=True, eq=False)
class Pair:
    """Our model and what fair-esm says of the mixed batch, on the same weights."""

    model: Esm2
    reference: list[Everything]


@cache
def pair(variant: str) -> Pair:
    config = VARIANTS[variant]
    fair = build_fair_model(config)
    return Pair(Esm2(config, dict(fair.state_dict()), CPU), run_fair(fair, mixed_batch()))


@pytest.mark.parametrize("variant", ["fixture", "esm2_t6_8M_UR50D", "esm2_t12_35M_UR50D"])
def test_every_output_equals_fair_esm(variant: str) -> None:
    both = pair(variant)
    assert failures(run_everything(both.model, mixed_batch()), both.reference) == {}
