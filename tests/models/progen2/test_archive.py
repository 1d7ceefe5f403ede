"""The official archive: two files of it are unpacked, and nothing else can be."""

import io
import tarfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from primase_server.models.errors import CheckpointError
from primase_server.models.progen2 import archive as module
from primase_server.models.progen2.archive import unpacked
from primase_server.models.progen2.weights import LocalWeights, load
from tests.models.progen2.tiny import MAIN, write

NAME = "progen2-tiny.tar.gz"


def archive(path: Path, members: Iterable[tuple[str, bytes]]) -> Path:
    with tarfile.open(path, "w:gz") as made:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            made.addfile(member, io.BytesIO(content))
    return path


def official(folder: Path, prefix: str = "./") -> list[tuple[str, bytes]]:
    files = sorted(write(folder / "official").iterdir())
    return [(prefix + file.name, file.read_bytes()) for file in files]


@pytest.mark.parametrize("prefix", ["", "./"])
def test_the_official_archive_is_read_and_left_beside_itself(tmp_path: Path, prefix: str) -> None:
    path = archive(tmp_path / NAME, [("./README", b"ignored"), *official(tmp_path, prefix)])
    loaded = load(LocalWeights(path))
    assert loaded.model.config == MAIN
    folder = tmp_path / "progen2-tiny"
    assert sorted(file.name for file in folder.iterdir()) == ["config.json", "pytorch_model.bin"]
    assert loaded.weights == load(LocalWeights(folder)).weights
    assert loaded.weights.checksum == load(LocalWeights(tmp_path / "official")).weights.checksum


def test_it_is_unpacked_once(tmp_path: Path) -> None:
    path = archive(tmp_path / NAME, official(tmp_path))
    folder = unpacked(path)
    path.write_bytes(b"")
    assert unpacked(path) == folder


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("config.json", b"{}")], "it lacks pytorch_model.bin"),
        ([("../config.json", b"{}"), ("/pytorch_model.bin", b"")], "it lacks config.json and"),
        ([("config.json", b"{}")] * 2, "its config.json is there twice"),
        ([("config.json", b" " * (1 << 20) + b" ")], "its config.json is there twice, too large"),
        ([(f"{n}", b"") for n in range(65)], "it has more than 64 members"),
    ],
)
def test_other_archives_are_refused_and_leave_nothing(
    tmp_path: Path, members: list[tuple[str, bytes]], message: str
) -> None:
    path = archive(tmp_path / NAME, members)
    with pytest.raises(CheckpointError, match=f"{NAME} cannot be read: {message}"):
        unpacked(path)
    assert [file.name for file in tmp_path.iterdir()] == [NAME]


def test_a_link_is_no_file(tmp_path: Path) -> None:
    path = tmp_path / NAME
    with tarfile.open(path, "w:gz") as made:
        member = tarfile.TarInfo("config.json")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        made.addfile(member)
    with pytest.raises(CheckpointError, match="no plain file"):
        unpacked(path)


@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_an_archive_that_is_cut_off_is_refused(tmp_path: Path, share: float) -> None:
    path = archive(tmp_path / NAME, official(tmp_path))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(CheckpointError, match="cannot be read"):
        unpacked(path)
    assert not (tmp_path / "progen2-tiny").exists()


def test_a_wrong_checksum_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / NAME, official(tmp_path))
    damaged = bytearray(path.read_bytes())
    damaged[-8] ^= 1  # of the checksum behind the last byte
    path.write_bytes(damaged)
    with pytest.raises(CheckpointError, match="CRC check failed"):
        unpacked(path)
    assert not (tmp_path / "progen2-tiny").exists()


def test_no_member_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", {"config.json": 10, "pytorch_model.bin": 10})
    path = archive(tmp_path / NAME, [("other", b" " * 11)])
    with pytest.raises(CheckpointError, match="it has a member of 11 bytes"):
        unpacked(path)
