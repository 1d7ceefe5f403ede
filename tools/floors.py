"""Print the oldest versions that the Python client takes of what it needs, for pip.

python tools/floors.py
"""

import re
import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent / "clients" / "python" / "pyproject.toml"
FLOOR = re.compile(r"([\w-]+)>=([\w.]+)")


def floors(project: Path = PROJECT) -> dict[str, str]:
    """Name and oldest version of each dependency. ValueError for one that has none."""
    found = {}
    for requirement in tomllib.loads(project.read_text())["project"]["dependencies"]:
        floor = FLOOR.match(requirement)
        if floor is None:
            raise ValueError(f"{requirement} says no oldest version")
        found[floor[1]] = floor[2]
    return found


def main() -> None:
    sys.stdout.write(" ".join(f"{name}=={version}" for name, version in floors().items()) + "\n")


if __name__ == "__main__":
    main()
