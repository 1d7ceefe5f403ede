"""From the hub into a folder: resumed, verified, all or nothing."""

import shutil
from pathlib import Path

from primase_server.models.hub.digests import digests_of
from primase_server.models.hub.download import OnBytes, download
from primase_server.models.hub.errors import CannotStore, DamagedWeights
from primase_server.models.hub.listing import Listing, RemoteFile
from primase_server.models.hub.manifest import Manifest, PulledFile
from primase_server.models.hub.remote import Hub
from primase_server.models.hub.weights_dir import PulledFolder

PART_SUFFIX = ".part"


def pull(
    hub: Hub, listing: Listing, folder: PulledFolder, requested_revision: str, on_bytes: OnBytes
) -> Manifest:
    """Download what a listing names; the folder changes only once every file is verified.

    A broken connection leaves what there is for the next pull (HubUnreachable). A file that is
    not the hub's (DamagedWeights) or that the disk refuses (CannotStore) leaves nothing.
    """
    try:
        with folder.staged(listing.commit) as staged:
            return _pull_into(staged, hub, listing, folder, requested_revision, on_bytes)
    except OSError as error:
        raise CannotStore(f"{folder.path}: {error.strerror or error}") from error


def _pull_into(
    staged: Path,
    hub: Hub,
    listing: Listing,
    folder: PulledFolder,
    requested_revision: str,
    on_bytes: OnBytes,
) -> Manifest:
    _require_space(staged, listing)
    try:
        files = tuple(_pull_file(hub, listing, file, staged, on_bytes) for file in listing.files)
        manifest = Manifest(listing.repository, requested_revision, listing.commit, files)
        manifest.write(staged)
        folder.install(staged)
    except OSError:
        shutil.rmtree(staged, ignore_errors=True)
        raise
    return manifest


def _pull_file(
    hub: Hub, listing: Listing, file: RemoteFile, staged: Path, on_bytes: OnBytes
) -> PulledFile:
    part, whole = staged / f"{file.name}{PART_SUFFIX}", staged / file.name
    if whole.exists():
        whole.rename(part)  # of an earlier pull: verified again below
    download(hub, listing, file, part, on_bytes)
    found = digests_of(part)
    try:
        file.check(found)
    except DamagedWeights:
        part.unlink()
        raise
    part.rename(whole)
    return PulledFile(file.name, found.size, found.sha256)


def _require_space(staged: Path, listing: Listing) -> None:
    num_there = sum(path.stat().st_size for path in staged.iterdir())
    free = shutil.disk_usage(staged).free
    if listing.num_bytes - num_there > free:
        raise CannotStore(
            f"{staged.parent.parent} has {free} bytes free; "
            f"{listing.repository} needs {listing.num_bytes}"
        )
