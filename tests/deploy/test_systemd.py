"""The unit, as systemd's own checks see it. Nothing here runs it under systemd."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from primase_server.commands import serve
from primase_server.rpc.server import LAST_WORDS_S
from primase_server.settings import ModelSettings, Settings
from tests.deploy.tree import DEPLOY
from tests.outside import leave_out

UNIT = DEPLOY / "systemd" / "primase.service"
PROGRAM = "/opt/primase/bin/primase"
MOST_EXPOSURE = 20  # of 100; a unit that asks for nothing has 96


def analyze(*arguments: str | Path) -> str:
    """What systemd-analyze prints. AssertionError where it finds something."""
    command = shutil.which("systemd-analyze")
    if command is None:
        leave_out("systemd-analyze is not here: it comes with Debian's package systemd")
    ran = subprocess.run(
        [command, "--no-pager", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
    return ran.stdout


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, with a program that is there."""
    program = tmp_path / "primase"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    path = tmp_path / UNIT.name
    path.write_text(UNIT.read_text().replace(PROGRAM, str(program)))
    return path


def test_systemd_finds_nothing_wrong(unit: Path) -> None:
    assert unit.name not in analyze("verify", "--recursive-errors=no", unit)


def test_little_is_open_to_it(unit: Path) -> None:
    analyze("security", "--offline=true", f"--threshold={MOST_EXPOSURE}", unit)


def test_it_is_given_the_time_to_finish() -> None:
    [stop_s] = re.findall(r"^TimeoutStopSec=(\d+)$", UNIT.read_text(), re.M)
    settings = Settings()
    assert int(stop_s) > settings.withdraw_s + settings.grace_s + LAST_WORDS_S


def test_its_example_of_settings_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in re.findall(r"^# +(PRIMASE_\w+)=(.+)$", UNIT.read_text(), re.M):
        monkeypatch.setenv(name, value)
    context = serve.make_context("serve", [], auto_envvar_prefix="PRIMASE_SERVE")
    assert context.params["models"] == (
        ModelSettings("esm2-650m", "hub"),
        ModelSettings("evo2-7b", "/srv/evo2_7b.pt"),
    )
    assert context.params["metrics_listen"].port == 9464
