"""Keys for tests."""

from pathlib import Path

from primase_server.access import keys_file
from primase_server.access.keys_file import KeyEntry


def add_key(path: Path, name: str, *scopes: str) -> str:
    """A new key of that name in the file."""
    key = keys_file.new_key()
    keys_file.append(path, KeyEntry(name, keys_file.digest_of(key).hex(), scopes or ("infer",)))
    return key
