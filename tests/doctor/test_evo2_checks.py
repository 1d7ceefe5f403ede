"""The doctor reads Evo 2's weights, and finds their published loss when asked for all of it."""

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from primase_server.doctor.checks import check_loss, check_model
from primase_server.doctor_command import doctor
from primase_server.loading.loader import load
from primase_server.loading.sources import configured
from primase_server.models.evo2 import self_test
from primase_server.models.evo2.self_test import PUBLISHED, Measured
from primase_server.models.evo2.weights import FIXTURE, LocalWeights
from primase_server.models.evo2.weights import load as load_weights
from primase_server.settings import ModelSettings, Settings
from tests.loading.conftest import ROWS
from tests.loading.evo2_files import NAME, VARIANT, entries, shrink, write


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small model under a name with a published loss, which is made its own."""
    shrink(monkeypatch)
    monkeypatch.setattr(self_test, "rows", lambda: ROWS)
    path = write(tmp_path / f"{VARIANT}.pt")
    loss = self_test.measure(load_weights(LocalWeights(path, VARIANT)).model).loss
    monkeypatch.setitem(PUBLISHED, VARIANT, Measured(loss, 0.3))
    return path


def test_weights_are_read_whole(tmp_path: Path) -> None:
    good = check_model(ModelSettings("evo2-fixture", str(FIXTURE)), tmp_path)
    assert (good.ok, good.detail.partition(": ")[2]) == (True, "269 tensors read")


def test_a_number_that_is_none_is_named(tmp_path: Path) -> None:
    damaged = entries()
    damaged["blocks.2.filter.D"][3] = torch.nan
    path = write(tmp_path / "evo2_fixture.pt", damaged)
    check = check_model(ModelSettings("evo2-fixture", str(path)), tmp_path)
    assert not check.ok
    assert check.detail == f"{path}: blocks.2.filter.D has numbers that are not finite"


def test_a_full_examination_lets_the_server_trust_the_model(
    checkpoint: Path, tmp_path: Path
) -> None:
    settings = Settings(weights_dir=tmp_path, num_threads=1)
    model = ModelSettings(NAME, str(checkpoint))
    assert load(configured(model, tmp_path), model.source, settings).doubt
    arguments = ["--full", "--model", f"{NAME}={checkpoint}", "--weights-dir", str(tmp_path)]
    done = CliRunner().invoke(doctor, arguments)
    assert done.exit_code == 0, done.output
    assert f"  ok    published loss of {NAME} on cpu: the self test on cpu " in done.output
    found = load(configured(model, tmp_path), model.source, settings)
    assert found.doubt == ""
    assert found.runner.card(NAME).weights.verified


def test_another_loss_is_wrong(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PUBLISHED, VARIANT, Measured(0.5, 0.8))
    check = check_loss(ModelSettings(NAME, str(checkpoint)), Settings(weights_dir=tmp_path))
    assert not check.ok
    assert check.detail.endswith("; 80.0% and 0.5000 are published")


@pytest.mark.parametrize(
    ("name", "source", "detail"),
    [
        ("esm2-8m", "somewhere", "nothing is published of these weights"),
        (NAME, "random", "nothing is published of these weights"),
        ("evo2-fixture", str(FIXTURE), "no loss was published for evo2_fixture"),
    ],
)
def test_where_nothing_is_published_nothing_is_wrong(
    tmp_path: Path, name: str, source: str, detail: str
) -> None:
    check = check_loss(ModelSettings(name, source), Settings(weights_dir=tmp_path))
    assert (check.ok, check.detail) == (True, detail)


def test_a_file_that_is_not_there_is_wrong(tmp_path: Path) -> None:
    check = check_loss(ModelSettings(NAME, "/nowhere/x.pt"), Settings(weights_dir=tmp_path))
    assert not check.ok


def test_everything_of_nothing_is_a_mistake() -> None:
    done = CliRunner().invoke(doctor, ["--full"])
    assert done.exit_code == 2
    assert "--full needs at least one --model NAME=SOURCE" in done.output
