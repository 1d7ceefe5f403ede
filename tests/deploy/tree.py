"""The deploy files, and the tree as an image gets it."""

import shutil
from pathlib import Path

PROJECT = Path(__file__).parents[2]
DEPLOY = PROJECT / "deploy"
DOCKERFILES = (DEPLOY / "docker" / "Dockerfile.cpu", DEPLOY / "docker" / "Dockerfile.cuda")
INSTALL = Path("deploy", "docker", "install.sh")


def carried() -> tuple[str, ...]:
    """What `.dockerignore` lets through, which is all that it does not leave out."""
    lines = (PROJECT / ".dockerignore").read_text().splitlines()
    return tuple(line.removeprefix("!") for line in lines if line.startswith("!"))


def copy_context(folder: Path) -> None:
    """What `COPY .` gives."""
    for name in carried():
        source, target = PROJECT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            left_out = shutil.ignore_patterns("__pycache__", "dist")
            shutil.copytree(source, target, symlinks=True, ignore=left_out)
        else:
            shutil.copy2(source, target)
