"""What the doctor calls right and wrong."""

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save

from primase_server.doctor.checks import check_device, check_model, check_pulled, check_versions
from primase_server.doctor.report import Device
from primase_server.models.esm2.weights import FIXTURE
from primase_server.models.progen2.weights import FIXTURE as PROGEN2
from primase_server.settings import ModelSettings
from tests.hub_checkpoints import whole

NAME = "model.safetensors"


FAMILIES = ("ESM-2", "Evo 2", "ProGen2")


def device(*errors: float) -> Device:
    esm2, evo2, progen2 = ({"float32": error, "bfloat16": math.nan} for error in errors)
    return Device("cuda:0", "a GPU", esm2, evo2, progen2, "native")


@pytest.mark.parametrize(
    ("error", "ok"), [(1e-6, True), (1e-4, True), (2e-4, False), (math.nan, False)]
)
def test_float32_has_to_be_right(error: float, ok: bool) -> None:
    for wrong in range(len(FAMILIES)):
        errors = [1e-6] * len(FAMILIES)
        errors[wrong] = error
        assert [(check.name, check.ok) for check in check_device(device(*errors))] == [
            (f"self test of {family} on cuda:0", ok or place != wrong)
            for place, family in enumerate(FAMILIES)
        ]


def test_the_files_of_progen2_are_read_whole(tmp_path: Path) -> None:
    good = check_model(ModelSettings("progen2-fixture", str(PROGEN2)), tmp_path)
    assert (good.ok, good.detail) == (True, f"{PROGEN2}: 29 tensors read")
    other = check_model(ModelSettings("progen2-small", str(PROGEN2)), tmp_path)
    assert not other.ok
    assert other.detail.endswith("has 3 blocks of width 64, which is not progen2-small")


def test_dists_of_two_versions_are_wrong() -> None:
    agreeing = {"primase": "1.2", "primase-server": "1.2", "primase-gateway": "1.2"}
    assert check_versions(agreeing).ok
    check = check_versions(agreeing | {"primase": "1.1"})
    assert not check.ok
    assert check.detail == "primase 1.1, primase-server 1.2, primase-gateway 1.2"


def test_weights_by_path_are_read_whole(tmp_path: Path) -> None:
    good = check_model(ModelSettings("mine", str(FIXTURE)), tmp_path)
    assert good.ok
    assert good.detail == f"{FIXTURE}: 106 tensors read"
    missing = check_model(ModelSettings("mine", str(tmp_path / "gone.pt")), tmp_path)
    assert (missing.ok, missing.detail) == (False, f"there is no file {tmp_path / 'gone.pt'}")


def test_numbers_that_are_none_are_wrong(tmp_path: Path) -> None:
    files = whole()
    tensors = load(files[NAME])
    tensors["lm_head.bias"][3] = torch.nan
    (tmp_path / "config.json").write_bytes(files["config.json"])
    (tmp_path / NAME).write_bytes(save(tensors))
    check = check_model(ModelSettings("mine", str(tmp_path)), tmp_path)
    assert not check.ok
    assert check.detail == f"{tmp_path}: lm_head.bias has numbers that are not finite"


def test_what_is_pulled_is_checked_against_its_manifest(tmp_path: Path) -> None:
    assert list(check_pulled(tmp_path)) == []
    (tmp_path / "esm2_t6_8M_UR50D").mkdir()
    [check] = check_pulled(tmp_path)
    assert (check.name, check.ok) == ("weights of esm2-8m", False)
    assert "run `primase models pull esm2-8m`" in check.detail


@pytest.mark.parametrize("source", ["random", "random:3", "fixture", "demo"])
def test_made_weights_need_no_file(tmp_path: Path, source: str) -> None:
    assert check_model(ModelSettings("esm2-8m", source), tmp_path).ok
