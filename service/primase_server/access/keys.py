"""The keys of a server: found by what a caller sends, read again when their file changes."""

import hmac
import time
from collections.abc import Callable
from pathlib import Path

from primase_server.access import keys_file
from primase_server.access.caller import Caller
from primase_server.access.keys_file import KeyEntry
from primase_server.access.quotas import KeyQuotas
from primase_server.access.watched import Watched

RELOAD_S = 1.0
"""A change of the file is seen so long after it at the latest."""

MAX_KEY_CHARACTERS = 256

Known = tuple[tuple[bytes, Caller], ...]


class Keys:
    """Raises OSError or ValueError where the file cannot be read, or is wrong, when it is made."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._quotas: dict[str, KeyQuotas] = {}
        self._file = Watched((path,), self._read)
        self._known = self._file.current()
        self._looked_s = clock()

    def find(self, key: str) -> Caller | None:
        """Whose key it is. It is compared with every key, whole: time tells nothing of them."""
        self._look()
        digest = keys_file.digest_of(key[:MAX_KEY_CHARACTERS])
        found = None
        for known, caller in self._known:
            if hmac.compare_digest(known, digest):
                found = caller
        return found

    def _look(self) -> None:
        now_s = self._clock()
        if now_s - self._looked_s >= RELOAD_S:
            self._looked_s = now_s
            self._known = self._file.current()

    def _read(self) -> Known:
        try:
            entries = keys_file.parse(self._path.read_text())
        except ValueError as error:
            raise ValueError(f"{self._path}: {error}") from error
        return tuple((entry.digest, self._caller(entry)) for entry in entries)

    def _caller(self, entry: KeyEntry) -> Caller:
        """Their books outlive a change of the file."""
        new = KeyQuotas(entry.name, entry.limits, self._clock)
        quotas = self._quotas.setdefault(entry.name, new)
        quotas.change(entry.limits)
        return Caller(entry.name, frozenset(entry.scopes), quotas)
