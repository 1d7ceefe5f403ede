"""What was pulled: `manifest.json`, written last, so that where it is everything is."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from primase_server.models.hub.digests import digests_of
from primase_server.models.hub.errors import DamagedWeights
from primase_server.models.hub.listing import is_read

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class PulledFile:
    """A file as it was verified: size in bytes, sha256 in hex."""

    name: str
    size: int
    sha256: str

    def problem(self, folder: Path) -> str:
        """Why the file in `folder` is not this one; empty where it is."""
        try:
            found = digests_of(folder / self.name)
        except OSError as error:
            return f"{self.name} cannot be read: {error.strerror}"
        if found.size != self.size:
            return f"{self.name} has {found.size} bytes, not {self.size}"
        if found.sha256 != self.sha256:
            return f"{self.name} has sha256 {found.sha256}, not {self.sha256}"
        return ""


@dataclass(frozen=True)
class Manifest:
    """Where a folder's files came from, and their digests.

    `revision` is the commit, `requested_revision` the commit, tag or branch that was asked for.
    """

    repository: str
    requested_revision: str
    revision: str
    files: tuple[PulledFile, ...]

    @property
    def num_bytes(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    def problems(self, folder: Path) -> list[str]:
        """What is wrong with each bad file of the folder; reads every byte."""
        return [problem for file in self.files if (problem := file.problem(folder))]

    def write(self, folder: Path) -> None:
        """Write it into the folder. Raises OSError."""
        (folder / MANIFEST).write_text(json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def read(cls, folder: Path) -> "Manifest | None":
        """That of a folder, if it has one. Raises DamagedWeights where it cannot be read."""
        path = folder / MANIFEST
        try:
            return cls._parse(json.loads(path.read_bytes()))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise DamagedWeights(f"{path} cannot be read: {str(error)[:200]}") from error

    @classmethod
    def _parse(cls, values: dict[str, object]) -> "Manifest":
        entries = values["files"]
        if not isinstance(entries, list) or not entries:
            raise ValueError("it has no files")
        return cls(
            repository=_text(values, "repository"),
            requested_revision=_text(values, "requested_revision"),
            revision=_text(values, "revision"),
            files=tuple(_file(entry) for entry in entries),
        )


def _file(entry: dict[str, object]) -> PulledFile:
    name, size = _text(entry, "name"), entry["size"]
    if not is_read(name):
        raise ValueError(f"{name[:64]!r} is not a file of a checkpoint")
    if not isinstance(size, int):
        raise ValueError(f"the size of {name} is not a number")
    return PulledFile(name, size, _text(entry, "sha256"))


def _text(values: dict[str, object], key: str) -> str:
    value = values[key]
    if not isinstance(value, str) or not value:
        raise ValueError(f"{key} is not a text")
    return value
