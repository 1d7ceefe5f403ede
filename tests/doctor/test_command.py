"""`primase doctor` as a user runs it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from primase_server.doctor import esm2_self_test
from primase_server.doctor_command import doctor
from primase_server.models.cpu_linear import KERNELS
from primase_server.models.esm2.weights import FIXTURE


def test_a_page_says_that_all_is_well(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        doctor, ["--weights", "--model", f"mine={FIXTURE}", "--weights-dir", str(tmp_path)]
    )
    assert done.exit_code == 0, done.output
    assert "  ok    self test of Evo 2 on cpu: error " in done.output
    assert f"  ok    weights of mine: {FIXTURE}: 106 tensors read" in done.output
    assert f"  ok    pulled weights: none in {tmp_path}" in done.output
    assert "WRONG" not in done.output


def test_programs_get_json(tmp_path: Path) -> None:
    done = CliRunner().invoke(doctor, ["--json", "--weights-dir", str(tmp_path)])
    found = json.loads(done.stdout)
    assert found["ok"] is True
    assert set(found["versions"]) >= {"python", "primase", "primase-server", "torch", "grpcio"}
    assert found["cpu"]["num_cores"] >= 1
    assert len(found["cpu"]["linear_kernels"]) == len(KERNELS)
    assert found["cpu"]["chosen_linear_kernel"] in KERNELS
    assert found["devices"][0]["name"] == "cpu"
    for errors in ("errors", "evo2_errors", "progen2_errors"):
        assert found["devices"][0][errors]["float32"] < 1e-4
    assert "emulated in float32" in found["devices"][0]["projections"]
    assert {check["name"]: check["ok"] for check in found["checks"]} == {
        "versions agree": True,
        **{
            f"self test of {family} on {device['name']}": True
            for family in ("ESM-2", "Evo 2", "ProGen2")
            for device in found["devices"]
        },
    }


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    gone = tmp_path / "gone.pt"
    done = CliRunner().invoke(doctor, ["--model", f"mine={gone}", "--weights-dir", str(tmp_path)])
    assert done.exit_code == 1
    assert f"  WRONG weights of mine: there is no file {gone}" in done.output


def test_a_data_type_a_device_lacks_is_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def only_float32(device: str, dtype: str) -> float:
        if dtype != "float32":
            raise RuntimeError("not implemented for 'Half'")
        return 1e-7

    monkeypatch.setattr(esm2_self_test, "error_on", only_float32)
    done = CliRunner().invoke(doctor, ["--json"])
    assert json.loads(done.stdout)["devices"][0]["errors"] == {
        "float32": 1e-7,
        "float16": None,
        "bfloat16": None,
    }
