"""`primase models served|load|reload|unload`: what a running server serves."""

import click

import primase
from primase.admin.v1.admin_service_pb2 import Change, DeviceMemory, ManagedModel
from primase.cli.connection import calls_server
from primase.models.v1.model_service_pb2 import ModelState

GIB = 1 << 30
ROW = "{:<20}  {:<10}  {:>7}  {:>10}  {:>6}  {:>13}  {}"
HEADINGS = ("name", "state", "edition", "weights", "calls", "queued tokens", "source")


@click.command()
@calls_server
def served(client: primase.Client) -> None:
    """What a server serves now, and the memory that it has left."""
    answer = client.admin.models()
    click.echo(ROW.format(*HEADINGS))
    for managed in answer.models:
        click.echo(_row(managed))
        if managed.model.state_detail:
            click.echo(f"  {managed.model.state_detail}")
        if managed.num_calls_on_old_weights:
            click.echo(f"  {managed.num_calls_on_old_weights} calls finish on replaced weights")
    for device in answer.devices:
        click.echo(_free(device))


@click.command()
@click.argument("model", metavar="NAME=SOURCE")
@click.option("--alias", "aliases", multiple=True, help="Another name of the model. Repeatable.")
@calls_server
def load(client: primase.Client, *, model: str, aliases: tuple[str, ...]) -> None:
    """Let a server serve one more model, from the same sources as --model of `primase serve`.

    A path is one on the server. Returns when the model is ready; a load goes on when this is
    interrupted.
    """
    name, separator, source = model.partition("=")
    if not (name and separator and source):
        raise click.UsageError(f"{model!r} is not NAME=SOURCE, such as esm2-650m=hub")
    _echo_ready(client.admin.load(name, source, aliases=aliases))


@click.command()
@click.argument("name")
@click.option("--source", default="", help="Where from.  [default: where the old ones came from]")
@click.option(
    "--unload-first",
    is_flag=True,
    help="Free the old weights before the new ones are read; calls between are refused.",
)
@calls_server
def reload(client: primase.Client, *, name: str, source: str, unload_first: bool) -> None:
    """Put other weights in place of those that a server answers from.

    Calls in flight finish on the old ones, and no call is refused. Where anything fails the old
    ones go on.
    """
    _echo_ready(client.admin.reload(name, source, unload_first=unload_first))


@click.command()
@click.argument("name")
@click.option(
    "--grace-s",
    type=click.FloatRange(0),
    help="Seconds for calls in flight to finish.  [default: that of the server]",
)
@calls_server
def unload(client: primase.Client, *, name: str, grace_s: float | None) -> None:
    """Take a model out of service; returns when its memory is free."""
    num_ended = client.admin.unload(name, grace_s=grace_s)
    click.echo(f"{name}: unloaded, {num_ended} calls ended before they were through", err=True)


def _echo_ready(managed: ManagedModel) -> None:
    model = managed.model
    click.echo(
        f"{model.name}: ready from {managed.source}, edition {managed.edition}, "
        f"{_gib(managed.weights_bytes)} of weights",
        err=True,
    )


def _row(managed: ManagedModel) -> str:
    model = managed.model
    state = ModelState.Name(model.state).removeprefix("MODEL_STATE_").lower()
    if managed.change:
        state = Change.Name(managed.change).removeprefix("CHANGE_").lower()
    return ROW.format(
        model.name,
        state,
        managed.edition,
        _gib(managed.weights_bytes),
        managed.num_calls,
        f"{model.num_queued_tokens:,}",
        managed.source,
    )


def _free(device: DeviceMemory) -> str:
    return f"{device.device}: {_gib(device.free_bytes)} free"


def _gib(num_bytes: int) -> str:
    return f"{num_bytes / GIB:,.2f} GiB"
