"""The client's wheel, alone in a fresh environment: it calls a server, and needs no torch."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.environments import PROJECT, environment, pip
from tests.e2e.proteins import FEW_PROTEINS
from tests.e2e.server import Server

PROGRAM = """
import importlib.util, json, sys
from pathlib import Path
import primase

with primase.connect(sys.argv[1], timeout_s=60) as client:
    [result] = client.esm2("esm2-8m").encode("MSILV")
mean = result.value.mean[6]
json.dump({
    "file": primase.__file__,
    "torch": importlib.util.find_spec("torch") is not None,
    "typed": Path(primase.__file__).with_name("py.typed").exists(),
    "shape": mean.shape,
    "dtype": str(mean.dtype),
}, sys.stdout)
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter whose environment holds the client as its users get it."""
    wheels = tmp_path_factory.mktemp("wheels")
    source = str(PROJECT / "clients" / "python")
    # The build tools are at hand: they are those of the development environment.
    options = ("--no-deps", "--no-build-isolation", f"--wheel-dir={wheels}")
    pip(Path(sys.executable), "wheel", *options, source)
    [wheel] = wheels.glob("primase-*.whl")
    constraints = f"--constraint={PROJECT / 'constraints.txt'}"
    interpreter = environment("primase", constraints, "pip")
    pip(interpreter, "uninstall", "--yes", "primase")
    pip(interpreter, "install", constraints, str(wheel))
    return interpreter


def test_the_wheel_alone_calls_a_server(python: Path, server: Server) -> None:
    ran = subprocess.run(
        [python, "-c", PROGRAM, server.target],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert Path(found.pop("file")).is_relative_to(python.parents[1])
    assert found == {"torch": False, "typed": True, "shape": [32], "dtype": "float32"}


def test_its_dependencies_fit_together(python: Path) -> None:
    assert pip(python, "check") == ""


def test_its_command_encodes_a_file(python: Path, server: Server, tmp_path: Path) -> None:
    output = tmp_path / "means.tsv"
    options = ("--model=esm2-8m", f"--server={server.target}", f"--output={output}")
    ran = subprocess.run(
        (python.with_name("primase"), "encode", FEW_PROTEINS, *options),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    rows = [line.split("\t") for line in output.read_text().splitlines()]
    names = [row[0] for row in rows if row[0].startswith("UniRef50_")]
    assert names == ["UniRef50_UPI0003108055", "UniRef50_A0A223SCH7", "UniRef50_A0A090SUK6"]
    assert {len(row) for row in rows if row[0] in names} == {2 + 32}


def test_a_server_command_is_not_among_its_own(python: Path) -> None:
    command = python.with_name("primase")
    help_ = subprocess.run([command, "--help"], capture_output=True, text=True, check=True).stdout
    assert "encode" in help_
    assert "serve" not in [line.split()[0] for line in help_.splitlines() if line.strip()]
