"""Write what is made from the protos, or with `--check` fail when what is there is stale.

That is the generated code, and docs/contract.md. Python's is made with the oldest grpcio and
protobuf that the client supports, which make installs. Go is left as it is where its plugins are
not installed; make installs them too.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent
BUF = ROOT / ".cache/buf/node_modules/.bin/buf"
FLOOR = ROOT / ".cache/python-floor/bin"
STUBS = Path("clients/python/primase")
GO_MODULE = Path("clients/go")
GO_PLUGINS = [ROOT / ".cache/bin" / name for name in ("protoc-gen-go", "protoc-gen-go-grpc")]
PAGE = Path("docs/contract.md")
# What parts of the service tell each other is nobody else's.
INTERNAL = ("primase.cluster.v1",)
PACKAGE_INIT = '"""Generated from the protos of the same name."""\n'


def generate(destination: Path) -> None:
    """Generate everything under `destination`, laid out as in the repository."""
    if not FLOOR.exists():
        sys.exit("The generators of Python are not installed: `make generate` installs them")
    # Of what buf.gen.yaml names, `python` is the floor's, and the stubs' plugins are ours.
    path = os.pathsep.join([str(FLOOR), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path}
    command: list[str | Path] = [BUF, "generate", "--output", destination]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    _remove_stubs_without_code(destination)
    _add_package_inits(destination / STUBS)
    page: list[str | Path] = [sys.executable, "-m", "tools.contract_page", destination / PAGE]
    subprocess.run(page, cwd=ROOT, check=True)
    if has_go():
        command += ["--template", json.dumps(_go_template())]
        subprocess.run(command, cwd=ROOT, env=environment, check=True)


def has_go() -> bool:
    """The plugins for Go are installed here."""
    return all(plugin.exists() for plugin in GO_PLUGINS)


def go_import(module: str, proto: str) -> str:
    """The Go package that a proto becomes, such as `MODULE/esm2/v1;esm2v1`."""
    _, *folders = PurePosixPath(proto).parent.parts
    return f"{module}/{'/'.join(folders)};{''.join(folders)}"


def _go_template() -> dict[str, object]:
    # The name of the module stands in go.mod alone: a change of it is then no change of the protos.
    text = (ROOT / GO_MODULE / "go.mod").read_text()
    module = re.findall(r"^module (\S+)$", text, re.MULTILINE)[0]
    paths = sorted((ROOT / "protos").rglob("*.proto"))
    protos = [path.relative_to(ROOT / "protos").as_posix() for path in paths]
    inputs = [
        {
            "directory": "protos",
            "exclude_paths": [f"protos/{name.replace('.', '/')}" for name in INTERNAL],
        }
    ]
    options = [f"module={module}", *(f"M{proto}={go_import(module, proto)}" for proto in protos)]
    plugins = [{"local": str(p), "out": str(GO_MODULE), "opt": options} for p in GO_PLUGINS]
    return {"version": "v2", "inputs": inputs, "plugins": plugins}


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
    inits = {package / "__init__.py" for package in packages if (package / "__init__.py").exists()}
    go_files = set((root / GO_MODULE).glob("*/v*/*.pb.go"))
    pages = {page for page in [root / PAGE] if page.exists()}
    every = modules | inits | go_files | pages
    return {path.relative_to(root): path.read_bytes() for path in every}


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
    summary = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(description=summary)
    parser.add_argument("--check", action="store_true", help="change nothing; fail when stale")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as directory:
        generate(Path(directory))
        wanted = read_generated(Path(directory))
    current = read_generated(ROOT)
    if not has_go():
        sys.stderr.write("Go is left as it is: make installs what writes it\n")
        wanted |= {path: content for path, content in current.items() if path.suffix == ".go"}
    if not check:
        write(ROOT, current, wanted)
    elif stale := find_stale(current, wanted):
        sys.exit("\n".join(["What is generated is stale; run `make generate`:", *map(str, stale)]))


if __name__ == "__main__":
    main()
