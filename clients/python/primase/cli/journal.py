"""What a command has done so far, in a file that survives it.

Beside an output `out.npz` lies `out.npz.partial` while it is being made. It is a row of frames:

    length of the head (4 bytes), length of the body (8), CRC-32 of both (4), head (JSON), body

The first head holds the options of the command; every other frame is one finished record, whatever
form the output will have. A frame goes to the system whole before the next record is awaited, so a
run that is killed leaves at most one frame that is cut short, and that one is dropped when the file
is opened again. The output is made from the frames at the end.
"""

import json
import os
import struct
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple, Self
from zlib import crc32

Head = Mapping[str, Any]
Options = Mapping[str, Any]
Body = Iterable[bytes | memoryview]
"""Pieces, which are the same each time they are asked for."""

_FRAME = struct.Struct("<IQI")
_COPY_BYTES = 1 << 20


class JournalError(Exception):
    """The file of an earlier run cannot be gone on with; the message says why."""


def partial_of(output: Path) -> Path:
    """Where the journal of an output lies."""
    return output.with_name(f"{output.name}.partial")


class Entry(NamedTuple):
    """One finished record: what is said of it, and its numbers or lines."""

    head: Head
    body: bytes


@dataclass(frozen=True)
class StoredBody:
    """The body of a record, read from the file as far as it is asked for."""

    file: IO[bytes]
    start: int
    num_bytes: int

    def read(self, offset: int, num_bytes: int) -> bytes:
        """Some of its bytes."""
        self.file.seek(self.start + offset)
        return self.file.read(num_bytes)


class StoredEntry(NamedTuple):
    """One finished record whose body has not been read."""

    head: Head
    body: StoredBody


@dataclass(frozen=True)
class _Frame:
    head: Head
    body_start: int
    num_body_bytes: int


class Journal:
    """The file of finished records beside an output. Only one process can have it open.

    options: what the records depend on; JSON.
    resume: go on with what an earlier run has left, instead of starting over.
    durable: a record that was added outlives the machine, and not only the process.

    Raises JournalError where another run has it open, or the earlier one had other options.
    """

    def __init__(
        self, output: Path, options: Options, *, resume: bool, durable: bool = False
    ) -> None:
        self._durable = durable
        self.path = partial_of(output)
        self.num_entries = 0
        self._file: IO[bytes] = self.path.open("a+b")
        try:
            _lock(self._file, self.path)
            self._start = self._reopen(options) if resume else 0
            if self._start == 0:
                self._start = self._begin(options)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()
        if kind is None or self.num_entries == 0:
            self.path.unlink(missing_ok=True)

    def append(self, head: Head, body: Body = ()) -> None:
        """Add one record."""
        packed = json.dumps(head, separators=(",", ":")).encode()
        checksum = crc32(packed)
        num_body_bytes = 0
        for piece in body:
            checksum = crc32(piece, checksum)
            num_body_bytes += memoryview(piece).nbytes
        frame = _FRAME.pack(len(packed), num_body_bytes, checksum)
        self._file.writelines(chain((frame, packed), body))
        self._file.flush()
        if self._durable:
            os.fsync(self._file.fileno())
        self.num_entries += 1

    def heads(self) -> Iterator[Head]:
        """The heads of all records so far."""
        with self.path.open("rb") as file:
            for frame in _frames(file, self._start):
                yield frame.head

    def entries(self) -> Iterator[Entry]:
        """All records so far."""
        for head, body in self.stored():
            yield Entry(head, body.read(0, body.num_bytes))

    def stored(self) -> Iterator[StoredEntry]:
        """All records so far; each body can be read until the next record is asked for."""
        with self.path.open("rb") as file:
            for frame in _frames(file, self._start):
                yield StoredEntry(
                    frame.head, StoredBody(file, frame.body_start, frame.num_body_bytes)
                )

    def _begin(self, options: Options) -> int:
        self._file.truncate(0)
        self.append(options)
        self.num_entries = 0
        return self._file.tell()

    def _reopen(self, options: Options) -> int:
        """Drop what was cut short; where the records start, 0 where nothing of use is left."""
        ends: list[int] = []
        self._file.seek(0)
        for frame in _frames(self._file, 0):
            end = frame.body_start + frame.num_body_bytes
            if not _is_whole(self._file, ends[-1] if ends else 0):
                break
            if not ends:
                require_same(self.path, frame.head, options)
            ends.append(end)
        self._file.truncate(ends[-1] if ends else 0)
        self.num_entries = max(0, len(ends) - 1)
        return ends[0] if ends else 0


def require_same(path: Path, earlier: Options, now: Options) -> None:
    """JournalError where `path` was written with other options."""
    for name in sorted({*earlier, *now}):
        if earlier.get(name) != now.get(name):
            raise JournalError(
                f"{path} was written with {name} {earlier.get(name)!r}, not {now.get(name)!r}: use "
                "that, or start over without --resume"
            )


def _frames(file: IO[bytes], start: int) -> Iterator[_Frame]:
    """The frames from `start`, to the end or to the first that is cut short."""
    num_bytes = os.fstat(file.fileno()).st_size
    while start + _FRAME.size <= num_bytes:
        file.seek(start)
        num_head_bytes, num_body_bytes, _ = _FRAME.unpack(file.read(_FRAME.size))
        body_start = start + _FRAME.size + num_head_bytes
        if body_start + num_body_bytes > num_bytes:
            return
        try:
            head = json.loads(file.read(num_head_bytes))
        except ValueError:
            return
        yield _Frame(head, body_start, num_body_bytes)
        start = body_start + num_body_bytes


def _is_whole(file: IO[bytes], start: int) -> bool:
    file.seek(start)
    num_head_bytes, num_body_bytes, expected = _FRAME.unpack(file.read(_FRAME.size))
    num_left = num_head_bytes + num_body_bytes
    checksum = 0
    while num_left:
        piece = file.read(min(num_left, _COPY_BYTES))
        checksum = crc32(piece, checksum)
        num_left -= len(piece)
    return bool(checksum == expected)


def _lock(file: IO[bytes], path: Path) -> None:
    if sys.platform == "win32":
        return
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise JournalError(f"{path} is being written by another run") from error
