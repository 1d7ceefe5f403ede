"""The shipped weights of the demo models, importable as they are once their dist is installed."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "demo" / "primase_demo_models"


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The dist, installed for this test."""
    monkeypatch.syspath_prepend(str(ROOT / "demo"))
    return FOLDER


@pytest.fixture(scope="session")
def shipped() -> Path:
    """The folder of its families."""
    return FOLDER
