"""Build the wheels of the four dists, the same bytes on every machine.

python tools/wheels.py [FOLDER]
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROJECTS = ("clients/python", "demo", "gateway", "service")
DEFAULT_FOLDER = ROOT / "dist" / "python"
# Of every file in a wheel, the same as in the jar: 2026-01-01, in seconds.
EPOCH_S = 1_767_225_600


def build(folder: Path, root: Path = ROOT) -> list[Path]:
    """Build the wheels of the projects under `root` and return them."""
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(EPOCH_S)}
    for project in PROJECTS:
        command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
        command += ["--directory", str(folder.resolve())]
        subprocess.run(
            command, cwd=root / project, env=environment, stdout=subprocess.DEVNULL, check=True
        )
    return sorted(folder.glob("*.whl"))


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_FOLDER
    for wheel in build(folder):
        sys.stdout.write(f"{wheel}\n")


if __name__ == "__main__":
    main()
