"""Clients that are not ours, each in a virtual environment of its own, made once."""

import fcntl
import subprocess
import sys
import venv
from pathlib import Path

PROJECT = Path(__file__).parents[3]
CACHE = PROJECT / ".cache" / "clients"
INSTALL_S = 240


def environment(name: str, *pip_arguments: str) -> Path:
    """The interpreter of a virtual environment with what `pip install` of these gives."""
    home = CACHE / name
    stamp = home / ".installed"
    wanted = "\n".join((sys.version, *pip_arguments))
    CACHE.mkdir(parents=True, exist_ok=True)
    # Tests may run in several processes.
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != wanted:
            venv.create(home, clear=True, with_pip=True)
            pip_install(home / "bin" / "python", *pip_arguments)
            stamp.write_text(wanted)
    return home / "bin" / "python"


def pip_install(python: Path, *pip_arguments: str) -> None:
    """`pip install`. AssertionError with what it said where it fails."""
    pip(python, "install", *pip_arguments)


def pip(python: Path, *arguments: str) -> str:
    """What pip says. AssertionError with that where it fails."""
    ran = subprocess.run(
        [python, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=INSTALL_S,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
    return ran.stdout
