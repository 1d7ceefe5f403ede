"""What a user wants pulled, and whether it is there already."""

from dataclasses import dataclass

from primase_server.models.hub.catalogue import CatalogueEntry
from primase_server.models.hub.errors import CannotStore
from primase_server.models.hub.manifest import Manifest
from primase_server.models.hub.weights_dir import PulledFolder


@dataclass(frozen=True)
class PullRequest:
    """A checkpoint, where to put it, and its revision.

    None is the revision that is there, and of the catalogue where there is none.
    """

    entry: CatalogueEntry
    folder: PulledFolder
    revision: str | None = None

    def pulled(self) -> Manifest | None:
        """What is there, of whatever revision.

        Raises CannotStore where that is another checkpoint, DamagedWeights for a broken manifest.
        """
        manifest = self.folder.manifest()
        if manifest is not None and manifest.repository != self.entry.repository:
            raise CannotStore(f"{self.folder.path} holds {manifest.repository}: it stays")
        return manifest

    def fulfilled(self, commit: str | None) -> Manifest | None:
        """What is there, if it is of that commit (None is any) and every byte agrees."""
        manifest = self.pulled()
        if manifest is None or commit not in (None, manifest.revision):
            return None
        return None if manifest.problems(self.folder.path) else manifest

    @property
    def wanted_revision(self) -> str:
        """The commit, tag or branch to ask the hub for."""
        if self.revision is not None:
            return self.revision
        manifest = self.pulled()
        return manifest.revision if manifest else self.entry.revision

    @property
    def requested_revision(self) -> str:
        """What the manifest is to say was asked for."""
        if self.revision is not None:
            return self.revision
        manifest = self.pulled()
        return manifest.requested_revision if manifest else self.entry.revision
