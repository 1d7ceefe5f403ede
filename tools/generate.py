"""Write the generated code from the protos, or with `--check` fail when what is there is stale."""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUF = ROOT / ".cache/buf/node_modules/.bin/buf"
STUBS = Path("clients/python/primase")
PACKAGE_INIT = '"""Generated from the protos of the same name."""\n'


def generate(destination: Path) -> None:
    """Generate everything under `destination`, laid out as in the repository."""
    # The plugins that buf.gen.yaml names are those installed next to this interpreter.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    subprocess.run(
        [BUF, "generate", "--output", destination],
        cwd=ROOT,
        env={**os.environ, "PATH": path},
        check=True,
    )
    _remove_stubs_without_code(destination)
    _add_package_inits(destination / STUBS)


def _remove_stubs_without_code(destination: Path) -> None:
    # protoc-gen-mypy_grpc writes a stub for every file, also for those that declare no service.
    for stub in destination.rglob("*_pb2_grpc.pyi"):
        if not stub.with_suffix(".py").exists():
            stub.unlink()


def _add_package_inits(stubs: Path) -> None:
    for directory in stubs.rglob("*"):
        if directory.is_dir():
            (directory / "__init__.py").write_text(PACKAGE_INIT)


def read_generated(root: Path) -> dict[Path, bytes]:
    """Return path -> content of every generated file under `root`."""
    stubs = root / STUBS
    modules = {path for path in stubs.glob("*/v*/*_pb2*.py*") if path.suffix in {".py", ".pyi"}}
    versions = {path.parent for path in modules}
    packages = versions | {path.parent for path in versions}
    inits = {package / "__init__.py" for package in packages}
    return {path.relative_to(root): path.read_bytes() for path in modules | inits if path.exists()}


def find_stale(current: dict[Path, bytes], wanted: dict[Path, bytes]) -> list[Path]:
    """Return the paths that are missing, differ, or belong to a proto that is gone."""
    paths = current.keys() | wanted.keys()
    return sorted(path for path in paths if current.get(path) != wanted.get(path))


def write(root: Path, current: dict[Path, bytes], wanted: dict[Path, bytes]) -> None:
    """Make the generated files under `root` be exactly `wanted`."""
    for path in find_stale(current, wanted):
        if path in wanted:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(wanted[path])
        else:
            (root / path).unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail when stale")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as directory:
        generate(Path(directory))
        wanted = read_generated(Path(directory))
    current = read_generated(ROOT)
    if not check:
        write(ROOT, current, wanted)
    elif stale := find_stale(current, wanted):
        sys.exit("\n".join(["Generated code is stale; run `make generate`:", *map(str, stale)]))


if __name__ == "__main__":
    main()
