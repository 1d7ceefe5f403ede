"""Pulling as the commands do it: a bar on a terminal, one line when done, errors named."""

import sys
from pathlib import Path

import click
from tqdm import tqdm

from primase_server.models.hub import catalogue
from primase_server.models.hub.errors import HubError
from primase_server.models.hub.manifest import Manifest
from primase_server.models.hub.pull_request import PullRequest
from primase_server.models.hub.weights_dir import PulledFolder, default_root, folder_of

weights_dir_option = click.option(
    "--weights-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=default_root,
    envvar="PRIMASE_WEIGHTS_DIR",
    show_envvar=True,
    help="Where pulled weights are.  [default: $XDG_CACHE_HOME/primase or ~/.cache/primase]",
)


def bring(
    name: str, weights_dir: Path, *, revision: str | None = None, to: Path | None = None
) -> None:
    """Make sure that weights are there and whole. Raises ClickException saying why not.

    The hub is asked only if it must be: for what is missing, damaged or of another revision.
    """
    try:
        entry = catalogue.find(name)
        folder = PulledFolder(to.absolute()) if to else folder_of(weights_dir, entry)
        manifest = _bring(PullRequest(entry, folder, revision))
    except HubError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{name}: {folder.path}, revision {manifest.revision}, verified", err=True)


def _bring(request: PullRequest) -> Manifest:
    manifest = request.fulfilled(None) if request.revision is None else None
    return manifest or _bring_from_hub(request)


def _bring_from_hub(request: PullRequest) -> Manifest:
    # the hub's library takes a second to import
    from primase_server.models.hub.pull import pull
    from primase_server.models.hub.remote import Hub

    hub = Hub()
    listing = hub.listing(request.entry.repository, request.wanted_revision)
    if manifest := request.fulfilled(listing.commit):
        return manifest
    with tqdm(
        total=listing.num_bytes,
        desc=request.entry.name,
        unit="B",
        unit_scale=True,
        file=sys.stderr,
        disable=None,
    ) as bar:
        return pull(hub, listing, request.folder, request.requested_revision, bar.update)
