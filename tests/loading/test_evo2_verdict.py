"""Real weights answer once their numbers are known to be right; made-up ones at once."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from primase_server.loading import evo2_verdict
from primase_server.loading.evo2 import read
from primase_server.loading.loaded import Loaded
from primase_server.loading.loader import load
from primase_server.loading.sources import configured
from primase_server.models.evo2 import self_test
from primase_server.models.evo2.self_test import MAX_LOSS_ERROR, PUBLISHED, Measured, measure
from primase_server.models.evo2.verified import FOLDER
from primase_server.settings import ModelSettings, Settings
from tests.loading.evo2_files import NAME, PLAIN_NAME, PLAIN_VARIANT, VARIANT, entries, write

CPU = (torch.device("cpu"),)


def loaded(name: str, source: object, settings: Settings) -> Loaded:
    model = ModelSettings(name, str(source))
    return load(configured(model, settings.weights_dir), model.source, settings)


def publish(monkeypatch: pytest.MonkeyPatch, variant: str, loss: float) -> None:
    monkeypatch.setitem(PUBLISHED, variant, Measured(loss, 0.3))


def true_loss(name: str, source: object, settings: Settings) -> float:
    served = configured(ModelSettings(name, str(source)), settings.weights_dir)
    return measure(read(served, str(source), settings, CPU).model).loss


@pytest.fixture
def on_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU stands for a GPU, where the whole self test runs at start."""
    monkeypatch.setattr(evo2_verdict, "CUDA", "cpu")
    monkeypatch.setattr(evo2_verdict, "_device_name", lambda _: "NVIDIA H100")


@pytest.fixture
def any_short_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random weights know nothing, so nothing they say is plausible."""
    monkeypatch.setattr(self_test, "most_plausible", lambda _: 100.0)


# On a GPU


@pytest.mark.usefixtures("on_gpu")
@pytest.mark.parametrize("off", [0.0, MAX_LOSS_ERROR * 0.9, -MAX_LOSS_ERROR * 0.9])
def test_the_published_loss_opens_the_gate(
    checkpoint: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch, off: float
) -> None:
    loss = true_loss(NAME, checkpoint, settings)
    publish(monkeypatch, VARIANT, loss + off)
    found = loaded(NAME, checkpoint, settings)
    card = found.runner.card(NAME)
    assert (found.doubt, card.weights.verified, card.weights.trained) == ("", True, True)
    assert card.variant == VARIANT
    assert "the self test on NVIDIA H100 predicts " in card.precision_note
    assert f"% of bases with a loss of {loss:.4f}, as published" in card.precision_note
    assert "emulated in float32" in card.precision_note


@pytest.mark.usefixtures("on_gpu")
@pytest.mark.parametrize(("name", "variant"), [(NAME, VARIANT), (PLAIN_NAME, PLAIN_VARIANT)])
def test_another_loss_closes_it(
    checkpoint: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch, name: str, variant: str
) -> None:
    publish(monkeypatch, variant, 0.5)
    found = loaded(name, checkpoint, settings)
    assert found.doubt.startswith("the self test on NVIDIA H100 predicts ")
    assert found.doubt.endswith("; 30.0% and 0.5000 are published")
    assert not found.runner.card(name).weights.verified
    assert f"UNVERIFIED: {found.doubt}" in found.runner.card(name).precision_note
    assert not (settings.weights_dir / FOLDER).exists()


@pytest.mark.usefixtures("on_gpu")
def test_a_pass_is_not_measured_again(
    checkpoint: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(monkeypatch, VARIANT, true_loss(NAME, checkpoint, settings))
    loaded(NAME, checkpoint, settings)
    measured: list[object] = []

    def unasked(model: object) -> Measured:
        measured.append(model)
        return Measured(9.0, 0.0)

    monkeypatch.setattr(self_test, "measure", unasked)
    again = loaded(NAME, checkpoint, settings)
    assert (measured, again.runner.card(NAME).weights.verified) == ([], True)
    others = write(checkpoint.with_name("others.pt"), entries(seed=1))
    assert loaded(NAME, others, settings).doubt
    assert loaded(NAME, checkpoint, replace(settings, dtype="bfloat16")).doubt
    assert len(measured) == 2


@pytest.mark.usefixtures("on_gpu")
def test_a_pass_that_cannot_be_remembered_is_one(
    checkpoint: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(monkeypatch, VARIANT, true_loss(NAME, checkpoint, settings))
    settings.weights_dir.write_text("not a folder")
    assert loaded(NAME, checkpoint, settings).runner.card(NAME).weights.verified


# On a CPU


@pytest.mark.usefixtures("any_short_loss")
def test_a_cpu_takes_a_glance_and_trusts_what_needs_no_8_bits(
    checkpoint: Path, settings: Settings
) -> None:
    found = loaded(PLAIN_NAME, checkpoint, settings)
    card = found.runner.card(PLAIN_NAME)
    assert (found.doubt, card.weights.verified) == ("", False)
    assert "not verified: the published loss was not looked for here" in card.precision_note
    assert "primase doctor --full" in card.precision_note


@pytest.mark.usefixtures("any_short_loss")
def test_a_cpu_does_not_trust_what_needs_8_bits(checkpoint: Path, settings: Settings) -> None:
    found = loaded(NAME, checkpoint, settings)
    assert found.doubt.startswith("evo2_1b_base is wrong where FP8 is not exact")
    assert "primase doctor --full" in found.doubt


@pytest.mark.parametrize("loss", [1.3, float("nan")])
def test_a_glance_at_anything_else_is_no_comfort(
    checkpoint: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch, loss: float
) -> None:
    monkeypatch.setattr(self_test, "measure_shortly", lambda _: Measured(loss, 0.3))
    assert f"a loss of {loss:.3f}; at most 1.2" in loaded(PLAIN_NAME, checkpoint, settings).doubt
    monkeypatch.delitem(PUBLISHED, PLAIN_VARIANT)
    found = loaded(PLAIN_NAME, checkpoint, settings)
    assert bool(found.doubt) == (loss != 1.3)


@pytest.mark.parametrize("name", [NAME, PLAIN_NAME])
def test_a_glance_sees_a_model_that_knows_nothing(
    checkpoint: Path, settings: Settings, name: str
) -> None:
    assert loaded(name, checkpoint, settings).doubt.startswith(
        "the first 512 bases of the self test give a loss of "
    )


@pytest.mark.usefixtures("any_short_loss", "on_gpu")
def test_a_model_without_a_published_loss_is_served(
    checkpoint: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(PUBLISHED, PLAIN_VARIANT)
    found = loaded(PLAIN_NAME, checkpoint, settings)
    assert (found.doubt, found.runner.card(PLAIN_NAME).weights.verified) == ("", False)


# Made-up weights


@pytest.mark.usefixtures("checkpoint")
@pytest.mark.parametrize(
    ("name", "source"),
    [(NAME, "random"), (NAME, "random:3"), ("evo2-fixture", "fixture"), ("evo2-demo", "demo")],
)
def test_made_up_weights_are_never_verified_and_ready_at_once(
    settings: Settings, name: str, source: str
) -> None:
    found = loaded(name, source, settings)
    weights = found.runner.card(name).weights
    assert (found.doubt, weights.verified, weights.trained) == ("", False, False)
    assert weights.source.value == source.partition(":")[0]
