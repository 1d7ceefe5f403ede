"""The folder that holds pulled weights, one folder a checkpoint:

    esm2_t6_8M_UR50D/        config.json, model.safetensors, manifest.json
    .partial/                what pulls that are not finished have so far

A checkpoint's folder appears whole, by a rename, or not at all.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from primase_server.models.hub.catalogue import CatalogueEntry
from primase_server.models.hub.errors import CannotStore, DamagedWeights, NotPulled, PullUnderWay
from primase_server.models.hub.manifest import Manifest

PARTIAL = ".partial"


def default_root() -> Path:
    """`primase` in the user's cache folder, `$XDG_CACHE_HOME` or `~/.cache`."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "primase"


class PulledFolder:
    """Where one checkpoint is, or will be."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._partial = path.parent / PARTIAL

    def manifest(self) -> Manifest | None:
        """That of the weights, if they are pulled. Raises DamagedWeights for a broken one."""
        return Manifest.read(self.path)

    def verified(self, name: str) -> Manifest:
        """The manifest, once every byte agrees with it.

        Raises NotPulled, or DamagedWeights naming every bad file.
        """
        manifest = self.manifest()
        if manifest is None:
            raise NotPulled(f"{name} is not in {self.path}: run `primase models pull {name}`")
        if problems := manifest.problems(self.path):
            raise DamagedWeights(f"{self.path}: {'; '.join(problems)}")
        return manifest

    @contextmanager
    def staged(self, commit: str) -> Iterator[Path]:
        """A folder to pull a commit into, which an earlier pull may have begun; for us alone.

        Raises PullUnderWay, and CannotStore where there is something that nobody pulled.
        """
        self._require_ours()
        self._partial.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self._partial / f"{self.path.name}.lock", blocking=False):
                yield self._stage(commit)
        except Timeout as error:
            raise PullUnderWay(f"{self.path} is being pulled by another process") from error

    def install(self, staged: Path) -> None:
        """Put a finished folder in its place, and what was there away. Raises OSError."""
        old = staged.with_name(f"{staged.name}.old")
        if self.path.exists():
            self.path.rename(old)
        staged.rename(self.path)
        shutil.rmtree(old, ignore_errors=True)

    def _stage(self, commit: str) -> Path:
        staged = self._partial / f"{self.path.name}@{commit}"
        for other in self._partial.iterdir():
            if other.name.startswith(f"{self.path.name}@") and other != staged:
                shutil.rmtree(other, ignore_errors=True)
        staged.mkdir(exist_ok=True)
        return staged

    def _require_ours(self) -> None:
        if self.path.is_dir() and not any(self.path.iterdir()):
            return
        if self.path.exists() and self.manifest() is None:
            raise CannotStore(f"{self.path} holds something that was not pulled: it stays")


def folder_of(root: Path, entry: CatalogueEntry) -> PulledFolder:
    """Where a checkpoint of the catalogue is kept below `root`."""
    return PulledFolder(root / entry.checkpoint)
