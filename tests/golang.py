"""The Go client of this checkout, and the command `go`, without which the suite is not complete."""

import os
import shutil
import subprocess
from pathlib import Path

CLIENT = Path(__file__).parents[1] / "clients" / "go"
GO_S = 240


def go(*arguments: str | Path, cwd: Path = CLIENT, **environment: str) -> str:
    """What `go` prints. AssertionError with what it says where it fails."""
    command = shutil.which("go")
    assert command is not None, "Go is missing"
    ran = subprocess.run(
        [command, *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=GO_S,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout
