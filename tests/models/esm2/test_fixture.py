"""The committed fixture is what its script makes, in the official layout."""

from argparse import Namespace
from pathlib import Path

import torch

from primase_server.models.esm2.config import VARIANTS
from primase_server.models.esm2.weights import FIXTURE, load, open_checkpoint
from primase_server.models.given_weights import FixtureWeights
from tests.models.esm2.everything import CPU, run_everything
from tests.models.esm2.gate import failures
from tests.models.esm2.reference import load_into_fair_model, run_fair
from tests.models.esm2.sequences import mixed_batch
from tools.make_esm2_fixture import make_state, save

MAX_BYTES = 700_000


def test_the_script_makes_the_committed_tensors(tmp_path: Path) -> None:
    config = VARIANTS["fixture"]
    save(config, make_state(config), tmp_path)
    made, committed = open_checkpoint(tmp_path / FIXTURE.name), open_checkpoint(FIXTURE)
    assert made.config == committed.config == config
    assert set(made.tensors) == set(committed.tensors)
    for name, tensor in committed.tensors.items():
        assert torch.equal(made.tensors[name], tensor), name


def test_the_fixture_is_small() -> None:
    assert sum(path.stat().st_size for path in FIXTURE.parent.iterdir()) < MAX_BYTES


def test_fair_esm_loads_the_fixture_and_agrees() -> None:
    fair = load_into_fair_model(FIXTURE)
    reference = run_fair(fair, mixed_batch())
    model = load(FixtureWeights(), CPU).model
    assert failures(run_everything(model, mixed_batch()), reference) == {}


def test_the_fixture_names_its_shape_as_fair_esm_does() -> None:
    with torch.serialization.safe_globals([Namespace]):
        main = torch.load(FIXTURE, weights_only=True)
    namespace = main["cfg"]["model"]
    assert (namespace.encoder_layers, namespace.encoder_embed_dim) == (6, 32)
    assert "encoder.sentence_encoder.layers.0.self_attn.rot_emb.inv_freq" in main["model"]
    assert main["model"]["encoder.lm_head.weight"].shape == (33, 32)
