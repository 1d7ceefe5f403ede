"""Data that lies beside the project and not in it: genomes, stored outputs of the official code.

Tests that read it are skipped where it is not there. With PRIMASE_TESTS_COMPLETE they fail, so that
nothing can be left out unseen where everything has to be checked.
"""

import os
from pathlib import Path
from typing import NoReturn

import pytest

DEFAULT = Path(__file__).parents[2] / "shared"
FOLDER = Path(os.environ.get("PRIMASE_TEST_DATA_DIR", DEFAULT))


def outside(name: str) -> Path:
    """The file or folder of that name."""
    path = FOLDER / name
    if not path.exists():
        leave_out(f"{name} is not in {FOLDER}; PRIMASE_TEST_DATA_DIR says where to look")
    return path


def leave_out(message: str) -> NoReturn:
    """Skip the test that runs; where nothing may be left out, fail it."""
    assert not os.environ.get("PRIMASE_TESTS_COMPLETE"), message
    pytest.skip(message)
