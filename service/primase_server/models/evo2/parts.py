"""Files that were published in parts, since a hub takes files of a limited size only."""

import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from primase_server.models.errors import CheckpointError

_PART = re.compile(r"\.part([0-9]{1,3})$")
_CHUNK_BYTES = 16 << 20


def find_parts(whole: Path) -> list[Path]:
    """`<name>.part0`, `.part1` and so on next to where the whole file would be, in order.

    Raises CheckpointError where one is missing between others.
    """
    if not whole.parent.is_dir():
        return []
    numbered = {
        int(match[1]): path
        for path in whole.parent.iterdir()
        if path.name.startswith(f"{whole.name}.part") and (match := _PART.search(path.name))
    }
    for number in range(len(numbered)):
        if number not in numbered:
            raise CheckpointError(f"{whole.name}.part{number} is missing")
    return [numbered[number] for number in range(len(numbered))]


def without_part(path: Path) -> Path:
    """The path of the whole file that a part belongs to; other paths stay as they are."""
    return path.with_name(_PART.sub("", path.name))


def join_parts(parts: Sequence[Path], whole: Path) -> None:
    """Write the parts one after another to a new file, which appears once it is complete.

    Only one file can be mapped into memory as one. A file that is there with the bytes of all
    parts is left as it is. Raises CheckpointError where there is no room.
    """
    size = sum(part.stat().st_size for part in parts)
    if whole.is_file() and whole.stat().st_size == size:
        return
    free = shutil.disk_usage(whole.parent).free
    if free < size:
        raise CheckpointError(
            f"{whole.name} is in {len(parts)} parts; joining them takes {size} bytes of disk, "
            f"and {free} are free"
        )
    try:
        _join(parts, whole)
    except OSError as error:
        raise CheckpointError(f"the parts of {whole.name} cannot be joined: {error}") from error


def _join(parts: Sequence[Path], whole: Path) -> None:
    handle, name = tempfile.mkstemp(prefix=f"{whole.name}.", suffix=".joining", dir=whole.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            for part in parts:
                with part.open("rb") as source:
                    shutil.copyfileobj(source, file, _CHUNK_BYTES)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(whole)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
