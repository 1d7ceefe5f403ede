"""`primase doctor`."""

from pathlib import Path

import click

from primase_server.options.parameters import MODEL, device_option, dtype_option
from primase_server.pulling import weights_dir_option
from primase_server.settings import ModelSettings, Settings


@click.command()
@click.option("--json", "wants_json", is_flag=True, help="For programs.")
@click.option("--weights", is_flag=True, help="Also read every number of the pulled weights.")
@click.option(
    "--model",
    "models",
    multiple=True,
    type=MODEL,
    help="Also read the weights of NAME=PATH or NAME=hub, as serve takes them. Repeatable.",
)
@click.option(
    "--full",
    is_flag=True,
    help="Also find the published loss of each Evo 2 --model: minutes on a GPU, hours on a CPU. "
    "What passes is remembered for serve, on this device and in this type of numbers.",
)
@device_option
@dtype_option
@weights_dir_option
def doctor(
    *,
    wants_json: bool,
    weights: bool,
    models: tuple[ModelSettings, ...],
    full: bool,
    device: str,
    dtype: str,
    weights_dir: Path,
) -> None:
    """Say what there is, test it, and name what is wrong.

    The self test computes the committed fixtures on every device and holds them to the official
    code's numbers. Ends with status 1 where anything is wrong.
    """
    if full and not models:
        raise click.UsageError("--full needs at least one --model NAME=SOURCE")
    # torch takes seconds to import
    from primase_server.doctor.examination import examine
    from primase_server.doctor.rendering import as_json, as_text

    settings = Settings(device=device, dtype=dtype, weights_dir=weights_dir)
    report = examine(models, settings, with_pulled_weights=weights, is_full=full)
    click.echo(as_json(report) if wants_json else as_text(report))
    if not report.ok:
        raise click.exceptions.Exit(1)
