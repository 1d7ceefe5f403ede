"""Files that are read again once they have changed."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import structlog

T = TypeVar("T")
State = tuple[tuple[int, int, int], ...] | None

log = structlog.get_logger()


class Watched(Generic[T]):
    """What `read` makes of some files. Where it fails on changed ones, what it made before stays.

    `read` raises OSError or ValueError; whoever makes this gets the first of them.
    """

    def __init__(self, paths: Sequence[Path], read: Callable[[], T]) -> None:
        self._paths = paths
        self._read = read
        self._seen = self._state()
        self._value = read()

    def current(self) -> T:
        """What the files say now. Each change is logged once, whatever comes of it."""
        state = self._state()
        if state != self._seen:
            self._seen = state
            names = [str(path) for path in self._paths]
            try:
                self._value = self._read()
                log.info("file_reloaded", files=names)
            except (OSError, ValueError) as error:
                log.error("file_not_reloaded", files=names, why=str(error))
        return self._value

    def _state(self) -> State:
        try:
            found = [path.stat() for path in self._paths]
        except OSError:
            return None
        return tuple((stat.st_mtime_ns, stat.st_size, stat.st_ino) for stat in found)
