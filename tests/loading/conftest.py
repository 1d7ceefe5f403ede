"""Settings of a server with a folder of its own, and small Evo 2 checkpoints in it."""

from pathlib import Path

import pytest

from primase_server.models.evo2 import self_test
from primase_server.settings import Settings
from tests.loading import evo2_files

ROWS = ("ACGTTGCA" * 30, "GGATCCTA" * 25, "TTACGACG" * 20, "CAGTCATG" * 15)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(weights_dir=tmp_path / "weights", num_threads=1)


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a small model that needs 8 bits, and a self test on short rows."""
    evo2_files.shrink(monkeypatch)
    monkeypatch.setattr(self_test, "rows", lambda: ROWS)
    return evo2_files.write(tmp_path / f"{evo2_files.VARIANT}.pt")
