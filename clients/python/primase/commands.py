"""The command `primase`. Other dists add to it through the entry-point group `primase.commands`."""

from importlib.metadata import EntryPoint, entry_points

import click

from primase.cli.demo_command import demo
from primase.cli.encode_command import encode
from primase.cli.forward_command import forward
from primase.cli.generate_command import generate
from primase.cli.predict_command import predict
from primase.cli.scan_command import scan
from primase.cli.score_command import score
from primase.cli.variants_command import variants

GROUP = "primase.commands"


class ExtensibleGroup(click.Group):
    """A group whose other commands are loaded when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Our own commands and those of other dists."""
        return sorted({*super().list_commands(ctx), *_added()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """One of our own, or one of another dist."""
        own = super().get_command(ctx, cmd_name)
        if own is not None or cmd_name not in _added():
            return own
        command: click.Command = _added()[cmd_name].load()
        return command


def _added() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}


@click.group(cls=ExtensibleGroup, context_settings={"auto_envvar_prefix": "PRIMASE"})
@click.version_option(package_name="primase")
def main() -> None:
    """Biological sequence models, served.

    Every option has a twin in the environment, such as PRIMASE_ENCODE_LAYERS.
    """


main.add_command(demo)
main.add_command(encode)
main.add_command(forward)
main.add_command(generate)
main.add_command(predict)
main.add_command(scan)
main.add_command(score)
main.add_command(variants)
