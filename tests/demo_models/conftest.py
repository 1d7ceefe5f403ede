"""The shipped weights of the demo models, importable as they are once their dist is installed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.outside import outside
from tools.train_demo.proteins import Split, read_proteins, split_proteins

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "demo" / "primase_demo_models"
REPORTS = ROOT / "tests" / "data" / "demo_models"


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The dist, installed for this test."""
    monkeypatch.syspath_prepend(str(ROOT / "demo"))
    return FOLDER


@pytest.fixture(scope="session")
def shipped() -> Path:
    """The folder of its families."""
    return FOLDER


@pytest.fixture(scope="session")
def reported() -> Callable[[str], Any]:
    """What a family's report found on the whole test part."""
    return lambda family: json.loads((REPORTS / f"{family}.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def split() -> Split:
    """The proteins that were learned from, and those that were not."""
    return split_proteins(read_proteins(outside("data")))
