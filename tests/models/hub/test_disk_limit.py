"""A disk that takes no more, in a process that may write files of so many bytes only."""

import resource
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from primase_server.models.hub.errors import CannotStore
from primase_server.models.hub.weights_dir import PulledFolder
from tests.hub_checkpoints import whole
from tests.hub_server import HubServer
from tests.models.hub.conftest import REPOSITORY, Puller

MAX_FILE_BYTES = 100_000
COMMAND = Path(sys.executable).parent / "primase"


def limit_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_FILE_BYTES, MAX_FILE_BYTES))


def files_below(root: Path) -> set[str]:
    return {path.name for path in root.rglob("*") if path.is_file() and path.suffix != ".lock"}


def test_nothing_half_written_is_left(server: HubServer, tmp_path: Path) -> None:
    files = whole()
    assert len(files["model.safetensors"]) > MAX_FILE_BYTES
    server.add(REPOSITORY, files)
    root = tmp_path / "weights"
    done = subprocess.run(
        [COMMAND, "models", "pull", "esm2-8m", "--revision", "main", "--weights-dir", root],
        env={"HF_ENDPOINT": server.url, "HOME": str(tmp_path)},
        preexec_fn=limit_files,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == f"Error: {root / 'esm2_t6_8M_UR50D'}: File too large\n"
    assert PulledFolder(root / "esm2_t6_8M_UR50D").manifest() is None
    assert files_below(root) == set()


def test_a_full_disk_is_seen_before_the_download(
    server: HubServer, pull_it: Puller, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.add(REPOSITORY, whole())
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(CannotStore, match=f"1000 bytes free; {REPOSITORY} needs"):
        pull_it()
    assert server.requested(f"/{REPOSITORY}/resolve/") == []
