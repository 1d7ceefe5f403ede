"""The runners that there are, by language: a command line each, to which the servers are added."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conformance import cases
from tests.conformance.servers import Servers

PROJECT = Path(__file__).parents[2]
BUILT = PROJECT / ".cache" / "bin"
TIME_S = 300

_PYTHON = (sys.executable, "-m", "tests.conformance.python_runner")

# A runner that has to be built first is left out until it is there.
COMMANDS: Mapping[str, Sequence[str]] = {
    "python": _PYTHON,
    "asyncio": (*_PYTHON, "--asyncio"),
    "go": (str(BUILT / "conformance-go"),),
    "java": (str(BUILT / "conformance-java"),),
}

# Of Python and Java the usual runner is one of the two.
VERSIONS: Mapping[str, Sequence[str]] = {
    "python newest": _PYTHON,
    "python floor": (str(BUILT / "conformance-python-floor"),),
    "go newest": (str(BUILT / "conformance-go-newest"),),
    "go floor": (str(BUILT / "conformance-go-floor"),),
    "java newest": (str(BUILT / "conformance-java-newest"),),
    "java floor": (str(BUILT / "conformance-java"),),
}


def there() -> list[str]:
    """The languages whose runner is there."""
    return [language for language, command in COMMANDS.items() if Path(command[0]).exists()]


@dataclass(frozen=True)
class Ran:
    """What a runner printed, by case, and what it said beside."""

    outcomes: Mapping[str, Mapping[str, Any]]
    stderr: str


def run(language: str, servers: Servers) -> Ran:
    """All cases in one language. AssertionError where the runner itself fails."""
    ran = subprocess.run(
        [*{**COMMANDS, **VERSIONS}[language], f"--cases={cases.FOLDER}", *servers.arguments],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=TIME_S,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    return Ran({outcome["case"]: outcome for outcome in lines}, ran.stderr)
