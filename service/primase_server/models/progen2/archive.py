"""The archive in which Salesforce publishes a model: a tar of `config.json` and the weights.

Nothing is written but these two files, under names of our own, into a folder beside the archive.
"""

import gzip
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from primase_server.models.errors import CheckpointError
from primase_server.models.hub_layout import CONFIG

SUFFIXES = (".tar.gz", ".tgz", ".tar")
WEIGHTS = "pytorch_model.bin"
MOST_BYTES: Mapping[str, int] = {CONFIG: 1 << 20, WEIGHTS: 64 << 30}
"""The largest weights published take 26 GB."""

MOST_MEMBERS = 64
PADDING_BYTES = 1 << 20

UNREADABLE = (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, ValueError)


def is_archive(path: Path) -> bool:
    """Whether it is named like one."""
    return path.name.endswith(SUFFIXES)


def unpacked(path: Path) -> Path:
    """The folder of the archive's name beside it, unpacked the first time.

    Raises CheckpointError where the archive lacks one of the files, has one twice, or one that is
    too large, and OSError where there is no room; nothing is left of either.
    """
    folder = path.with_name(path.name.removesuffix(next(filter(path.name.endswith, SUFFIXES))))
    if folder.is_dir():
        return folder
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=path.parent) as name:
        made = Path(name) / folder.name
        made.mkdir()
        try:
            with tarfile.open(path) as archive:
                _unpack(archive, made)
                _read_padding(archive)
        except UNREADABLE as error:
            raise CheckpointError(f"{path.name} cannot be read: {str(error)[:200]}") from error
        made.rename(folder)
    return folder


def _unpack(archive: tarfile.TarFile, folder: Path) -> None:
    for number, member in enumerate(archive):
        if number == MOST_MEMBERS:
            raise CheckpointError(f"it has more than {MOST_MEMBERS} members")
        name = member.name.removeprefix("./")
        if member.size > max(MOST_BYTES.values()):
            raise CheckpointError(f"it has a member of {member.size} bytes")
        if name in MOST_BYTES:
            _write(archive.extractfile(member) if member.isreg() else None, member, folder / name)
    if missing := [name for name in MOST_BYTES if not (folder / name).exists()]:
        raise CheckpointError(f"it lacks {' and '.join(missing)}")


def _read_padding(archive: tarfile.TarFile) -> None:
    """So that the checksum behind it is reached, and checked."""
    if archive.fileobj is not None:
        archive.fileobj.read(PADDING_BYTES)


def _write(content: IO[bytes] | None, member: tarfile.TarInfo, path: Path) -> None:
    if content is None or path.exists() or member.size > MOST_BYTES[path.name]:
        raise CheckpointError(f"its {path.name} is there twice, too large, or no plain file")
    with path.open("xb") as file:
        shutil.copyfileobj(content, file, 1 << 20)
    if path.stat().st_size != member.size:
        raise CheckpointError(f"its {path.name} is cut off")
