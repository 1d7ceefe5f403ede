"""Write the Go module as a file-system GOPROXY, from which `go get` takes it.

    python tools/go_proxy.py [FOLDER]

The same files give the same bytes on every machine: nothing in them tells when or where.
"""

import json
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODULE = ROOT / "clients" / "go"
DEFAULT_FOLDER = ROOT / "dist" / "go"
OTHER_FILES = frozenset({"go.mod", "go.sum", "LICENSE", "NOTICE", "README.md"})

_VERSION = re.compile(r"[01]\.\d+\.\d+(-[0-9A-Za-z.-]+)?")
_EPOCH = (1980, 1, 1, 0, 0, 0)
_FILE_MODE = 0o100644 << 16


def write(folder: Path, version: str, module: Path = MODULE) -> Path:
    """Write the module at `version`, such as `0.1.0`, and return where its versions lie.

    Raises ValueError for a version that Go does not take for a module of this name.
    """
    if not _VERSION.fullmatch(version):
        raise ValueError(f"{version} is no version of a Go module, or a major one above 1")
    name = module_name(module)
    versions = folder / _escaped(name) / "@v"
    versions.mkdir(parents=True, exist_ok=True)
    tag = f"v{version}"
    (versions / "list").write_text(f"{tag}\n")
    (versions / f"{tag}.info").write_text(json.dumps({"Version": tag}) + "\n")
    (versions / f"{tag}.mod").write_bytes((module / "go.mod").read_bytes())
    # Stored and not deflated, since compressors differ.
    with zipfile.ZipFile(versions / f"{tag}.zip", "w", zipfile.ZIP_STORED) as archive:
        for path in _files(module):
            entry = zipfile.ZipInfo(f"{name}@{tag}/{path.relative_to(module).as_posix()}", _EPOCH)
            entry.create_system = 3  # Unix, also where it is not
            entry.external_attr = _FILE_MODE
            archive.writestr(entry, path.read_bytes())
    return versions


def module_name(module: Path = MODULE) -> str:
    """The name in its go.mod."""
    (name,) = re.findall(r"^module (\S+)$", (module / "go.mod").read_text(), re.MULTILINE)
    return str(name)


def _files(module: Path) -> Iterator[Path]:
    for path in sorted(module.rglob("*")):
        if path.is_file() and (path.suffix == ".go" or path.name in OTHER_FILES):
            yield path


def _escaped(name: str) -> str:
    # as the protocol has it, for file systems that do not tell upper case from lower
    return re.sub("[A-Z]", lambda letter: f"!{letter[0].lower()}", name)


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_FOLDER
    versions = write(folder, (ROOT / "VERSION").read_text().strip())
    sys.stdout.write(f"{versions}\n")


if __name__ == "__main__":
    main()
