"""The file of keys: TOML, an entry a key, with the key's hash and never the key.

    [[keys]]
    name = "lab"
    sha256 = "9f86d0…"
    scopes = ["infer"]
    tokens_per_minute = 100000
    concurrent_tokens = 20000

Both quotas may be left out. A key has 256 random bits, so that its hash needs no salt and no
slowness.
"""

import fcntl
import hashlib
import json
import os
import re
import secrets
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from primase_server.access.caller import SCOPES
from primase_server.access.quotas import UNLIMITED, QuotaLimits

KEY_PREFIX = "primase_"
KEY_BYTES = 32
NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
SHA256 = re.compile(r"[0-9a-f]{64}")
ENTRY = re.compile(r"^(?=[ \t]*\[\[[ \t]*keys[ \t]*\]\])", re.MULTILINE)
"""Where an entry begins."""

FIELDS = ("name", "sha256", "scopes")
QUOTAS = ("tokens_per_minute", "concurrent_tokens")


@dataclass(frozen=True)
class KeyEntry:
    """One key. Raises ValueError for what cannot be."""

    name: str
    sha256: str
    scopes: tuple[str, ...]
    limits: QuotaLimits = UNLIMITED

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ValueError("name must be 1 to 64 letters, digits, dots, dashes or underscores")
        if not SHA256.fullmatch(self.sha256):
            raise ValueError(f"key {self.name!r}: sha256 must be 64 hexadecimal digits")
        if not self.scopes or not set(self.scopes) <= set(SCOPES):
            raise ValueError(f"key {self.name!r}: scopes must be some of {', '.join(SCOPES)}")
        for quota, limit in asdict(self.limits).items():
            if limit is not None and limit < 1:
                raise ValueError(f"key {self.name!r}: {quota} must be at least 1")

    @property
    def digest(self) -> bytes:
        """What `digest_of` gives for the key."""
        return bytes.fromhex(self.sha256)

    def toml(self) -> str:
        """The entry as it stands in the file."""
        fields: dict[str, object] = {
            "name": self.name,
            "sha256": self.sha256,
            "scopes": list(self.scopes),
        }
        fields |= {quota: n for quota, n in asdict(self.limits).items() if n is not None}
        # a string, list or integer of ours in JSON is the same in TOML
        lines = [f"{name} = {json.dumps(value)}" for name, value in fields.items()]
        return "\n".join(["[[keys]]", *lines, ""])


def new_key() -> str:
    """A key that nobody has."""
    return KEY_PREFIX + secrets.token_urlsafe(KEY_BYTES)


def digest_of(key: str) -> bytes:
    """What the file keeps of a key."""
    return hashlib.sha256(key.encode()).digest()


def parse(text: str) -> tuple[KeyEntry, ...]:
    """The entries of a file. Raises ValueError saying what is wrong with which."""
    document = tomllib.loads(text)
    if unknown := set(document) - {"keys"}:
        raise ValueError(f"{min(unknown)!r} means nothing here")
    tables = document.get("keys", [])
    if not isinstance(tables, list):
        raise ValueError("an entry begins with [[keys]]")
    entries = tuple(_entry(number, table) for number, table in enumerate(tables, 1))
    names = [entry.name for entry in entries]
    if doubled := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"key {min(doubled)!r} is there twice")
    return entries


def append(path: Path, entry: KeyEntry) -> None:
    """Put an entry into the file, which is made where there is none; whole or not at all.

    The file is then for its owner alone. Raises ValueError where the name is taken or the file is
    wrong, OSError where it cannot be written.
    """
    with _locked(path.parent):
        text = path.read_text() if path.exists() else ""
        if any(other.name == entry.name for other in parse(text)):
            raise ValueError(f"there is a key {entry.name!r} already")
        if text:
            text = text.rstrip("\n") + "\n\n"
        _replace(path, text + entry.toml())


def remove(path: Path, name: str) -> None:
    """Take an entry out of the file; whole or not at all, and all else in it stays as it is.

    Raises ValueError where no key has the name or the file is wrong, OSError where it cannot be
    written.
    """
    with _locked(path.parent):
        text = path.read_text()
        entries = parse(text)
        kept = tuple(entry for entry in entries if entry.name != name)
        if kept == entries:
            raise ValueError(f"there is no key {name!r}")
        number = next(i for i, entry in enumerate(entries) if entry.name == name)
        _replace(path, _without(text, number, kept))


def _without(text: str, number: int, kept: Sequence[KeyEntry]) -> str:
    """The text of a file without an entry, by its number from 0; `kept` are the others."""
    before, *tables = ENTRY.split(text)
    del tables[number : number + 1]
    rest = "".join([before, *tables])
    try:
        is_right = parse(rest) == tuple(kept)
    except ValueError:
        is_right = False
    # of entries that are written in another way than by us only their meaning is kept
    return rest if is_right else "\n".join(entry.toml() for entry in kept)


def _entry(number: int, table: object) -> KeyEntry:
    if not isinstance(table, Mapping):
        raise ValueError("an entry begins with [[keys]]")
    # a quota that is misspelled would be none
    if unknown := set(table) - {*FIELDS, *QUOTAS}:
        raise ValueError(f"entry {number}: {min(unknown)!r} means nothing here")
    name, sha256, scopes = (table.get(field) for field in FIELDS)
    if not (isinstance(name, str) and isinstance(sha256, str)):
        raise ValueError(f"entry {number}: needs a name and a sha256, each in quotes")
    if not (isinstance(scopes, list) and all(isinstance(scope, str) for scope in scopes)):
        raise ValueError(f"entry {number}: scopes must be a list of names")
    quotas = {quota: table[quota] for quota in QUOTAS if quota in table}
    # to Python, true is a number
    if wrong := [quota for quota, limit in quotas.items() if type(limit) is not int]:
        raise ValueError(f"entry {number}: {wrong[0]} must be a whole number")
    return KeyEntry(name, sha256, tuple(scopes), QuotaLimits(**quotas))


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One writer at a time; the lock is the folder's, so that no file of it is left behind."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _replace(path: Path, text: str) -> None:
    # made with mode 600
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
