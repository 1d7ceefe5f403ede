"""Clients that are not ours, each in a virtual environment of its own, made once."""

import fcntl
import subprocess
import sys
import venv
from pathlib import Path

PROJECT = Path(__file__).parents[3]
CACHE = PROJECT / ".cache" / "clients"
INSTALL_S = 240


def foreign(name: str) -> Path:
    """The interpreter of an environment with a client that is not ours, and what goes with it."""
    locked = Path(__file__).with_name(f"{name}.txt").read_text().split()
    return environment(name, "--no-deps", *locked)


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
            venv.create(home, clear=True)
            pip(home / "bin" / "python", "install", *pip_arguments)
            stamp.write_text(wanted)
    return home / "bin" / "python"


def pip(python: Path, *arguments: str) -> str:
    """What pip says, ours, working on the environment of `python`. AssertionError with that where
    it fails.
    """
    if arguments[0] == "install":
        # Little of it is ever imported.
        arguments = ("install", "--no-compile", *arguments[1:])
    ours = (sys.executable, "-m", "pip", "--python", str(python))
    ran = subprocess.run(
        [*ours, "--disable-pip-version-check", "--quiet", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=INSTALL_S,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
    return ran.stdout
