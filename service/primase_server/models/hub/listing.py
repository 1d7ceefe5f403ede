"""What the hub says that a repository holds at one commit, less what we never read."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from primase_server.models.hub.digests import FileDigests
from primase_server.models.hub.errors import DamagedWeights, HubRefused

CONFIG = re.compile(r"config\.json")
SAFETENSORS = re.compile(r"model(-[0-9]{5}-of-[0-9]{5})?\.safetensors(\.index\.json)?")
TORCH = re.compile(r"pytorch_model(-[0-9]{5}-of-[0-9]{5})?\.bin(\.index\.json)?")
"""Weights by `torch.save`: pulled only where there are no others, and read without running any."""

EVO2 = re.compile(r"evo2_[0-9a-z_]+\.pt(\.part[0-9])?")
"""Evo 2's, of `torch.save` too; the largest are cut into parts that follow each other."""


def is_read(name: str) -> bool:
    """Whether it is a file that we pull: a plain name of the configuration or of weights."""
    return any(pattern.fullmatch(name) for pattern in (CONFIG, SAFETENSORS, TORCH, EVO2))


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository: size in bytes, and its digest in hex.

    The hub gives the sha256 of large files (LFS), and git's SHA-1 of the blob of small ones.
    """

    name: str
    size: int
    sha256: str = ""
    git_blob: str = ""

    def check(self, found: FileDigests) -> None:
        """Raise DamagedWeights where the bytes are not those of the hub."""
        if found.size != self.size:
            raise DamagedWeights(f"{self.name} has {found.size} bytes, not {self.size}")
        if self.sha256 and found.sha256 != self.sha256:
            raise DamagedWeights(f"{self.name} has sha256 {found.sha256}, not {self.sha256}")
        if not self.sha256 and found.git_blob != self.git_blob:
            raise DamagedWeights(f"{self.name} has git SHA-1 {found.git_blob}, not {self.git_blob}")


@dataclass(frozen=True)
class Listing:
    """The files to pull from a repository at a commit."""

    repository: str
    commit: str
    files: tuple[RemoteFile, ...]

    @property
    def num_bytes(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def listing_of(repository: str, commit: str, files: Iterable[RemoteFile]) -> Listing:
    """The files we read, by name. Raises HubRefused where there are no weights among them."""
    held = sorted(files, key=lambda file: file.name)
    weights = _named(held, SAFETENSORS) or _named(held, TORCH) or _named(held, EVO2)
    if not weights:
        raise HubRefused(f"{repository} has no weights at {commit} that are read here")
    wanted = (*_named(held, CONFIG), *weights)
    if not all(file.sha256 or file.git_blob for file in wanted):
        raise HubRefused(f"{repository} gives no digests of its files at {commit}")
    return Listing(repository, commit, wanted)


def _named(files: Iterable[RemoteFile], pattern: re.Pattern[str]) -> tuple[RemoteFile, ...]:
    return tuple(file for file in files if pattern.fullmatch(file.name))
