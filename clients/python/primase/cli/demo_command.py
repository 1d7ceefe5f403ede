"""`primase demo`."""

import os

import click

from primase.cli.connection import Connection, calls_server
from primase.cli.demo.page import Page
from primase.cli.demo.recipes import Recipes
from primase.cli.demo.walk import STEPS, Walk, first_models
from primase.client import Client
from primase.exceptions import Unavailable

HELP = """Walk through six calls on real sequences, each with its result, the time it took, and what
to give curl, Python and grpcurl for the same.

It asks a running server and starts none: `make demo` or `primase serve --demo` do, in another
terminal. Of each family the first model is asked. A step that fails is told and leaves the others
alone; the exit status is then 1.
"""


@click.command(help=HELP)
@click.option(
    "--step",
    multiple=True,
    type=click.IntRange(1, len(STEPS)),
    help="Only this one; repeat for more.",
)
@click.option("--list", "lists", is_flag=True, help="Name the steps and end.")
@click.option("--pause", is_flag=True, help="Wait for a key between steps.")
@click.option("--brief", is_flag=True, help="Results alone, without what to paste.")
@click.option("--no-color", is_flag=True, help="Plain text, as with NO_COLOR in the environment.")
@click.option(
    "--rest-url",
    default="",
    help="Where REST is, for the lines of curl. [default: port 8000 of the same host]",
)
@calls_server
def demo(
    client: Client,
    *,
    step: tuple[int, ...],
    lists: bool,
    pause: bool,
    brief: bool,
    no_color: bool,
    rest_url: str,
) -> None:
    """Show the steps."""
    context = click.get_current_context()
    if no_color or os.environ.get("NO_COLOR"):
        context.color = False
    if lists:
        for number, one in enumerate(STEPS, start=1):
            click.echo(f"{number}  {one.title} ({one.method.partition('/')[2]})")
        return
    connection = Connection.of_command()
    try:
        with connection.connect(retry=None) as impatient:
            models = impatient.models()
    except Unavailable as error:
        raise click.ClickException(
            f"nobody answers at {connection.server}. Start the demo in another terminal, with "
            "`make demo` or `primase serve --demo`, or say with --server where it is. "
            f"({error})"
        ) from error
    recipes = None if brief else Recipes(connection, rest_url)
    walk = Walk(client, connection.server, first_models(models), Page(), recipes, pause)
    if num_failed := walk.run(step or range(1, len(STEPS) + 1)):
        click.echo(f"{num_failed} failed", err=True)
        context.exit(1)
