"""Digests of files, as sha256 and as git names them."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class FileDigests:
    """Size in bytes, sha256 in hex, and the SHA-1 in hex that git gives the file as a blob."""

    size: int
    sha256: str
    git_blob: str


def digests_of(path: Path) -> FileDigests:
    """Read the file once. Raises OSError."""
    size = path.stat().st_size
    sha256 = hashlib.sha256()
    # git's own format: a header, then the bytes
    git_blob = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            sha256.update(chunk)
            git_blob.update(chunk)
    return FileDigests(size, sha256.hexdigest(), git_blob.hexdigest())
