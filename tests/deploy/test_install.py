"""What images are made of: installed by the script from what `COPY` brings, and served as there.

There is no container engine here. In its place: a tree with nothing but the build context, gone
when the server starts; a user who is not root; a home that is not there; and, where a test may
mount, a root that is read-only but for one folder.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.deploy.tree import INSTALL, copy_context
from tests.e2e.server import FREE_PORTS, STOP_S, Log, Server

NOBODY = 65534
OURS = ("primase", "_primase", "__editable__")
INSTALL_S = 200
ASK_S = 30
SYSTEM_FOLDERS = ("/usr/local/bin", "/usr/bin")
# The first argument stays writable; the others are the command.
SEAL = """
mount --make-rprivate / && mount --bind "$0" "$0" && mount -o remount,ro,bind / && exec "$@"
"""


@dataclass(frozen=True)
class Installed:
    """prefix: the environment that the script made. others: its dependencies."""

    prefix: Path
    others: Path
    writable: Path

    @property
    def environment(self) -> Mapping[str, str]:
        """What an image sets, for ports that are free."""
        return {
            "PATH": f"{self.prefix / 'bin'}:/usr/bin:/bin",
            "PYTHONPATH": str(self.others),
            "HOME": "/nonexistent",
            "TMPDIR": str(self.writable),
            "PRIMASE_WEIGHTS_DIR": str(self.writable / "weights"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_NUM_THREADS": "1",
        }

    @property
    def is_sealed(self) -> bool:
        """Whether its commands see a root that is read-only."""
        seal = (*self.seal(), "true")
        return (
            os.geteuid() == 0
            and subprocess.run(seal, capture_output=True, check=False).returncode == 0
        )

    def seal(self) -> tuple[str, ...]:
        """What makes the root read-only for the command behind it."""
        return ("unshare", "--mount", "sh", "-c", SEAL, str(self.writable))

    def sealed(self, *command: str) -> tuple[str, ...]:
        """The command, with a root that is read-only where that can be had."""
        return (*self.seal(), *command) if self.is_sealed else command

    def run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """Run one of its commands as the server's user."""
        return subprocess.run(
            self.sealed(*as_nobody(*command)),
            cwd="/",
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=ASK_S,
            check=False,
        )


def as_nobody(*command: str) -> tuple[str, ...]:
    """The command without root's rights."""
    if os.geteuid() != 0:
        return command
    user = (f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs")
    # setpriv itself still has them while it starts a program, which env then has not.
    return ("setpriv", *user, "--bounding-set=-all", "env", *command)


def interpreter() -> str:
    """A Python of this version that the server's user can run; one in root's home it cannot."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for found in (Path(sys.executable).resolve(), *(Path(f, name) for f in SYSTEM_FOLDERS)):
        runs = subprocess.run(
            as_nobody(str(found), "-c", "import venv"),
            cwd="/",
            stderr=subprocess.DEVNULL,
            check=False,
        )
        if runs.returncode == 0:
            return str(found)
    pytest.skip(f"no {name} is there for a user who is not root")


@pytest.fixture(scope="module")
def installed() -> Iterator[Installed]:
    # Not in pytest's own folder, which is closed to other users.
    with tempfile.TemporaryDirectory(prefix="primase-image-") as name:
        root = Path(name)
        root.chmod(0o755)
        others = root / "others"
        link_dependencies(others)
        source = root / "src"
        copy_context(source)
        prefix = root / "opt"
        ran = subprocess.run(
            [source / INSTALL, prefix],
            cwd="/",
            # The dependencies are there, so that nothing is fetched; pip finds them at their pins.
            env={
                **os.environ,
                "PYTHON": interpreter(),
                "PYTHONPATH": str(others),
                "PIP_NO_INDEX": "1",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=INSTALL_S,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout
        shutil.rmtree(source)
        writable = root / "writable"
        writable.mkdir()
        if os.geteuid() == 0:
            os.chown(writable, NOBODY, NOBODY)
        yield Installed(prefix, others, writable)


def link_dependencies(folder: Path) -> None:
    """All that is installed here but what is ours, for an interpreter's path."""
    folder.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not entry.name.startswith(OURS):
            (folder / entry.name).symlink_to(entry)


@contextmanager
def serving(installed: Installed) -> Iterator[Server]:
    process = subprocess.Popen(
        installed.sealed(*as_nobody("primase", "serve", "--demo", "--withdraw-s=0", *FREE_PORTS)),
        cwd="/",
        env=installed.environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    log = Log(process.stderr)
    try:
        server = Server(process, log)
        server.wait_until_loaded()
        yield server
    finally:
        process.kill()
        process.wait()
        log.wait_for_end(STOP_S)
        process.stderr.close()


def test_it_holds_our_packages_and_no_installer(installed: Installed) -> None:
    modules = "primase, primase_demo_models, primase_gateway, primase_server"
    asked = installed.run(
        "python", "-c", f"import {modules}\nfor m in ({modules}): print(m.__file__)"
    )
    assert asked.returncode == 0, asked.stderr
    assert all(Path(path).is_relative_to(installed.prefix) for path in asked.stdout.split())
    assert len(asked.stdout.split()) == 4
    assert not (installed.prefix / "bin" / "pip").exists()


def test_it_serves_as_nobody_with_nowhere_to_write_but_one_folder(installed: Installed) -> None:
    if installed.is_sealed:
        elsewhere = installed.run("touch", f"{tempfile.gettempdir()}/primase-was-here")
        assert "Read-only file system" in elsewhere.stderr
    with serving(installed) as server:
        # What the image's HEALTHCHECK runs.
        asked = installed.run("primase", "health", "--timeout-s", "5", "--server", server.target)
        assert (asked.returncode, asked.stdout) == (0, "SERVING\n"), asked.stderr
        assert Path("/proc", str(server.process.pid)).stat().st_uid != 0
        ready = httpx.get(f"{server.url}/v1/health/ready", timeout=ASK_S)
        assert (ready.status_code, ready.json()) == (200, {"status": "ready"})
        models = httpx.get(f"{server.url}/primase/v1/models", timeout=ASK_S).json()["models"]
        assert {model["name"]: model["weights"]["trained"] for model in models} == {
            "esm2-demo": True,
            "evo2-demo": True,
            "progen2-demo": True,
        }
        server.terminate()
        assert server.wait() == 0
