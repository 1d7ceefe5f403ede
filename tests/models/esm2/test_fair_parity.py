"""Every output against fair-esm 2.0.0, on seeded weights in its own files."""

from pathlib import Path

import pytest

from primase_server.models.cpu_linear import PLAIN, PREPACKED, Kernel
from primase_server.models.esm2.config import VARIANTS
from primase_server.models.esm2.model import Esm2
from primase_server.models.esm2.weights import LocalWeights, load
from tests.models.esm2.everything import CPU, run_apart, run_everything
from tests.models.esm2.gate import failures
from tests.models.esm2.reference import build_fair_model, run_fair, save_fair_checkpoint
from tests.models.esm2.sequences import mixed_batch


@pytest.mark.parametrize("kernel", [PREPACKED, PLAIN], ids=lambda kernel: kernel.name)
@pytest.mark.parametrize("variant", ["fixture", "esm2_t6_8M_UR50D", "esm2_t12_35M_UR50D"])
def test_every_output_equals_fair_esm(variant: str, kernel: Kernel, tmp_path: Path) -> None:
    config = VARIANTS[variant]
    fair = build_fair_model(config)
    path = save_fair_checkpoint(fair, config, tmp_path / f"{variant}.pt")
    model = load(LocalWeights(path), make=kernel.make).model
    assert model.config == config
    reference = run_fair(fair, mixed_batch())
    assert failures(run_everything(model, mixed_batch()), reference) == {}
    assert failures(run_apart(model, mixed_batch()), reference) == {}


def load_seeded(variant: str) -> Esm2:
    config = VARIANTS[variant]
    return Esm2(config, dict(build_fair_model(config).state_dict()), CPU)


@pytest.mark.parametrize("variant", ["fixture", "esm2_t6_8M_UR50D"])
def test_a_batch_equals_its_sequences_alone(variant: str) -> None:
    model = load_seeded(variant)
    for run in (run_everything, run_apart):
        alone = [run(model, [ids])[0] for ids in mixed_batch()]
        assert failures(run(model, mixed_batch()), alone) == {}


def test_the_order_of_a_batch_does_not_matter() -> None:
    model = load_seeded("fixture")
    backwards = run_everything(model, mixed_batch()[::-1])[::-1]
    assert failures(run_everything(model, mixed_batch()), backwards) == {}
