"""The Java client of this checkout, built by make, and the programs that it makes."""

import subprocess
from pathlib import Path

PROJECT = Path(__file__).parents[1]
CLIENT = PROJECT / "clients" / "java"
BUILD_S = 280
RUN_S = 60


def build() -> None:
    """`make java`: nothing where nothing has changed. AssertionError with what it says."""
    _run(["make", "--silent", "java"], BUILD_S)


def java(program: str | Path, *arguments: str) -> str:
    """What a program of the examples, or a single source file beside them, prints."""
    target = CLIENT / "examples" / "target"
    classpath = f"{target / 'classes'}:{(target / 'classpath').read_text()}"
    return _run(
        ["java", "-XX:TieredStopAtLevel=1", "-cp", classpath, str(program), *arguments], RUN_S
    )


def maven(folder: Path, *arguments: str) -> None:
    """Run Maven on the project in `folder`, with the version of this one."""
    version = (PROJECT / "VERSION").read_text().strip()
    options = ("--batch-mode", "--quiet", f"-Drevision={version}", "--file", str(folder))
    _run(["mvn", *options, *arguments], BUILD_S)


def _run(command: list[str], timeout_s: float) -> str:
    ran = subprocess.run(
        command, cwd=PROJECT, capture_output=True, text=True, timeout=timeout_s, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout
