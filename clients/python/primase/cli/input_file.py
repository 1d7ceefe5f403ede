"""Files that are read, also where gzip has packed them."""

import gzip
from pathlib import Path
from typing import Any, BinaryIO, cast

import click

_MAGIC = b"\x1f\x8b"


class InputFile(click.File):
    """Bytes of a file or of stdin, unpacked where they begin as gzip does."""

    def __init__(self) -> None:
        super().__init__("rb")

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> BinaryIO:
        """Open it."""
        file = cast(BinaryIO, super().convert(value, param, ctx))
        return cast(BinaryIO, gzip.open(file, "rb")) if _is_packed(file) else file


def unpacked(path: Path) -> BinaryIO:
    """The same of a file by its path."""
    file = path.open("rb")
    if not _is_packed(file):
        return file
    file.close()
    return cast(BinaryIO, gzip.open(path, "rb"))


def suffix_of(file: BinaryIO) -> str:
    """How its name ends, in lower case, `.gz` aside; empty where it has none."""
    path = Path(str(getattr(file, "name", "")))
    return (path.with_suffix("") if path.suffix.lower() == ".gz" else path).suffix.lower()


def _is_packed(file: BinaryIO) -> bool:
    if hasattr(file, "peek"):
        return bool(file.peek(len(_MAGIC))[: len(_MAGIC)] == _MAGIC)
    if not file.seekable():
        return False
    start = file.read(len(_MAGIC))
    file.seek(0)
    return start == _MAGIC
