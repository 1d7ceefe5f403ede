"""`primase models`: which official weights there are, bringing them here, what a server serves."""

from collections.abc import Iterator
from pathlib import Path

import click

from primase_server.models.families import family_of_checkpoint
from primase_server.models.hub import catalogue
from primase_server.models.hub.catalogue import CATALOGUE, CatalogueEntry
from primase_server.models.hub.errors import HubError
from primase_server.models.hub.manifest import Manifest
from primase_server.models.hub.weights_dir import PulledFolder, folder_of
from primase_server.pulling import bring, weights_dir_option
from primase_server.served_commands import load, reload, served, unload

MEGABYTE = 1_000_000
ROW = "{:<20}  {:<21}  {:>10}  {:>11}  {:<6}  {}"


@click.group()
def models() -> None:
    """List, pull and verify official weights; see and change what a server serves."""


for command in (served, load, reload, unload):
    models.add_command(command)


@models.command("list")
@weights_dir_option
def list_models(weights_dir: Path) -> None:
    """The catalogue, and what of it is here.

    Sizes with ~ are those of the numbers as they are published, not of the hub's files.
    """
    click.echo(ROW.format("name", "checkpoint", "parameters", "size", "pulled", "revision"))
    for entry in CATALOGUE.values():
        click.echo(_row(entry, _manifest(folder_of(weights_dir, entry))))


@models.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option(
    "--revision", help="A commit, tag or branch.  [default: that here, or the catalogue's]"
)
@click.option(
    "--to",
    type=click.Path(file_okay=False, path_type=Path),
    help="Put the files of one NAME into this folder, to be served as NAME=FOLDER.",
)
@weights_dir_option
def pull(names: tuple[str, ...], revision: str | None, to: Path | None, weights_dir: Path) -> None:
    """Bring weights from the hub, and verify them.

    A pull that was cut off goes on where it stopped. What is here and whole is not asked for
    again, so a branch stays at the commit of its first pull; --revision moves it.

    HF_ENDPOINT is another hub, HF_TOKEN the token for it, HF_HUB_OFFLINE=1 forbids asking.
    """
    if to is not None and len(names) != 1:
        raise click.UsageError("--to takes exactly one NAME")
    for name in names:
        bring(name, weights_dir, revision=revision, to=to)


@models.command()
@click.argument("names", metavar="[NAME|FOLDER]...", nargs=-1)
@weights_dir_option
def verify(names: tuple[str, ...], weights_dir: Path) -> None:
    """Read every byte of pulled weights; all of them by default.

    Ends with status 1 where a file is missing or not as it was pulled, and names it.
    """
    num_bad = sum(_has_problem(label, folder) for label, folder in _folders(names, weights_dir))
    if num_bad:
        raise click.exceptions.Exit(1)


def _folders(names: tuple[str, ...], weights_dir: Path) -> Iterator[tuple[str, PulledFolder]]:
    for name in names:
        if Path(name).is_dir():
            yield name, PulledFolder(Path(name))
        else:
            yield name, folder_of(weights_dir, _entry(name))
    if names:
        return
    for entry in CATALOGUE.values():
        if (folder := folder_of(weights_dir, entry)).path.exists():
            yield entry.name, folder


def _entry(name: str) -> CatalogueEntry:
    try:
        return catalogue.find(name)
    except HubError as error:
        raise click.ClickException(str(error)) from error


def _has_problem(label: str, folder: PulledFolder) -> bool:
    try:
        manifest = folder.verified(label)
    except HubError as error:
        click.echo(f"{label}: {error}", err=True)
        return True
    click.echo(f"{label}: {len(manifest.files)} files as pulled, revision {manifest.revision}")
    return False


def _manifest(folder: PulledFolder) -> Manifest | None:
    try:
        return folder.manifest()
    except HubError:
        return None  # `verify` says what is wrong


def _row(entry: CatalogueEntry, manifest: Manifest | None) -> str:
    family = family_of_checkpoint(entry.checkpoint)
    num_parameters = family.num_parameters[entry.checkpoint]
    size = manifest.num_bytes if manifest else num_parameters * family.stored_bytes
    return ROW.format(
        entry.name,
        entry.checkpoint,
        f"{num_parameters / 1e6:,.1f} M",
        f"{'' if manifest else '~'}{size / MEGABYTE:,.0f} MB",
        "yes" if manifest else "no",
        manifest.revision if manifest else entry.revision,
    )
