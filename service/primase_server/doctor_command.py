"""`primase doctor`."""

from pathlib import Path

import click

from primase_server.commands import ModelParameter
from primase_server.pulling import weights_dir_option
from primase_server.settings import ModelSettings


@click.command()
@click.option("--json", "wants_json", is_flag=True, help="For programs.")
@click.option("--weights", is_flag=True, help="Also read every number of the pulled weights.")
@click.option(
    "--model",
    "models",
    multiple=True,
    type=ModelParameter(),
    help="Also read the weights of NAME=PATH or NAME=hub, as serve takes them. Repeatable.",
)
@weights_dir_option
def doctor(
    *, wants_json: bool, weights: bool, models: tuple[ModelSettings, ...], weights_dir: Path
) -> None:
    """Say what there is, test it, and name what is wrong.

    The self test computes the committed fixture on every device and holds it to the official
    code's numbers. Ends with status 1 where anything is wrong.
    """
    # torch takes seconds to import
    from primase_server.doctor.examination import examine
    from primase_server.doctor.rendering import as_json, as_text

    report = examine(models, weights_dir, with_pulled_weights=weights)
    click.echo(as_json(report) if wants_json else as_text(report))
    if not report.ok:
        raise click.exceptions.Exit(1)
