"""Keys for tests, and a clock."""

from pathlib import Path

from primase_server.access import keys_file
from primase_server.access.keys_file import KeyEntry
from primase_server.access.quotas import UNLIMITED, QuotaLimits


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def add_key(path: Path, name: str, *scopes: str, limits: QuotaLimits = UNLIMITED) -> str:
    """A new key of that name in the file."""
    key = keys_file.new_key()
    digest = keys_file.digest_of(key).hex()
    keys_file.append(path, KeyEntry(name, digest, scopes or ("infer",), limits))
    return key
