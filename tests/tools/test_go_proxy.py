import os
import zipfile
from pathlib import Path

import pytest

from tools import go_proxy

FILES = {
    "go.mod": "module Example.org/bio\n",
    "doc.go": "package bio\n",
    "sub/v1/x.pb.go": "package subv1\n",
    "notes.txt": "not of the module\n",
}


def module_at(folder: Path) -> Path:
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder.parent / "LICENSE").write_text("MIT")
    (folder / "LICENSE").symlink_to("../LICENSE")
    return folder


def test_the_layout_is_that_of_the_protocol(tmp_path: Path) -> None:
    versions = go_proxy.write(tmp_path / "dist", "0.2.1", module_at(tmp_path / "module"))

    assert versions == tmp_path / "dist" / "!example.org" / "bio" / "@v"
    assert (versions / "list").read_text() == "v0.2.1\n"
    assert (versions / "v0.2.1.info").read_text() == '{"Version": "v0.2.1"}\n'
    assert (versions / "v0.2.1.mod").read_text() == FILES["go.mod"]
    with zipfile.ZipFile(versions / "v0.2.1.zip") as archive:
        held = {entry.filename: archive.read(entry).decode() for entry in archive.infolist()}
    assert held == {
        "Example.org/bio@v0.2.1/LICENSE": "MIT",
        "Example.org/bio@v0.2.1/doc.go": FILES["doc.go"],
        "Example.org/bio@v0.2.1/go.mod": FILES["go.mod"],
        "Example.org/bio@v0.2.1/sub/v1/x.pb.go": FILES["sub/v1/x.pb.go"],
    }


def test_equal_files_give_equal_bytes(tmp_path: Path) -> None:
    first = module_at(tmp_path / "a" / "module")
    second = module_at(tmp_path / "b" / "module")
    os.utime(second / "doc.go", (1e9, 1e9))
    (second / "doc.go").chmod(0o600)
    archives = [
        (go_proxy.write(module.parent / "dist", "1.0.0", module) / "v1.0.0.zip").read_bytes()
        for module in (first, second)
    ]
    assert archives[0] == archives[1]


@pytest.mark.parametrize("version", ["0.1", "v0.1.0", "0.1.0.dev1", "2.0.0", ""])
def test_versions_that_go_does_not_take(version: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no version of a Go module"):
        go_proxy.write(tmp_path / "dist", version, module_at(tmp_path / "module"))
