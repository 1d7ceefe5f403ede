"""Our float32 model, and fair-esm's, against an independent float64 evaluation."""

from primase_server.models.esm2.config import VARIANTS
from primase_server.models.esm2.model import Esm2
from tests.models.esm2.everything import CPU, run_everything
from tests.models.esm2.formulas import Formulas
from tests.models.esm2.gate import failures
from tests.models.esm2.reference import build_fair_model, run_fair
from tests.models.esm2.sequences import mixed_batch


def test_every_output_equals_the_formulas() -> None:
    config = VARIANTS["fixture"]
    fair = build_fair_model(config)
    state = dict(fair.state_dict())
    exact = [Formulas(config, state).everything(ids) for ids in mixed_batch()]
    assert failures(run_everything(Esm2(config, state, CPU), mixed_batch()), exact) == {}
    assert failures(run_fair(fair, mixed_batch()), exact) == {}


def test_every_output_of_the_8m_shape_equals_the_formulas() -> None:
    config = VARIANTS["esm2_t6_8M_UR50D"]
    state = dict(build_fair_model(config).state_dict())
    masked = mixed_batch()[1:2]
    exact = [Formulas(config, state).everything(ids) for ids in masked]
    assert failures(run_everything(Esm2(config, state, CPU), masked), exact) == {}
