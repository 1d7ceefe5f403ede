"""The cases: what to call and what has to come of it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent

Case = Mapping[str, Any]


def load(folder: Path = FOLDER) -> list[Case]:
    """All of them, in order."""
    return [case for path in sorted(folder.glob("*.json")) for case in json.loads(path.read_text())]
