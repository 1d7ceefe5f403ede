"""Every output against transformers' EsmForMaskedLM, from the files it writes itself."""

from pathlib import Path

import pytest

from primase_server.models.cpu_linear import PLAIN, PREPACKED, Kernel
from primase_server.models.esm2.config import VARIANTS
from primase_server.models.esm2.weights import LocalWeights, load
from tests.models.esm2.everything import run_apart, run_everything
from tests.models.esm2.gate import failures
from tests.models.esm2.hub import build_hub_model, run_hub
from tests.models.esm2.sequences import mixed_batch


@pytest.mark.parametrize("kernel", [PREPACKED, PLAIN], ids=lambda kernel: kernel.name)
@pytest.mark.parametrize("variant", ["fixture", "esm2_t6_8M_UR50D", "esm2_t12_35M_UR50D"])
def test_every_output_equals_transformers(variant: str, kernel: Kernel, tmp_path: Path) -> None:
    config = VARIANTS[variant]
    hub = build_hub_model(config)
    hub.save_pretrained(tmp_path)
    model = load(LocalWeights(tmp_path), make=kernel.make).model
    assert model.config == config
    reference = run_hub(hub, mixed_batch())
    assert failures(run_everything(model, mixed_batch()), reference) == {}
    assert failures(run_apart(model, mixed_batch()), reference) == {}


def test_shards_give_the_same_model(tmp_path: Path) -> None:
    hub = build_hub_model(VARIANTS["fixture"])
    hub.save_pretrained(tmp_path, max_shard_size="60KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 3
    model = load(LocalWeights(tmp_path)).model
    reference = run_hub(hub, mixed_batch())
    assert failures(run_everything(model, mixed_batch()), reference) == {}
