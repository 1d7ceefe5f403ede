"""The options of every command that writes a file, which a killed run can go on with."""

from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import click


def writes_file(
    suffixes: Sequence[str], *, required: bool = False, on_stdout: str = "TSV"
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command its `output`, which ends in one of `suffixes`, and whether to `resume`.

    on_stdout: what is written without an output.
    """
    forms = " or ".join((", ".join(suffixes[:-1]), suffixes[-1]))

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @click.option(
            "-o",
            "--output",
            required=required,
            type=click.Path(writable=True, path_type=Path),
            help=f"Ends in {forms}." + ("" if required else f" Without it, {on_stdout} on stdout."),
        )
        @click.option(
            "--resume",
            is_flag=True,
            help="Go on from OUTPUT.partial, which a run that ended early has left.",
        )
        @wraps(command)
        def run(*args: Any, output: Path | None, resume: bool, **options: Any) -> None:
            is_bulk = options.get("bulk") is not None
            if output is None:
                if resume or is_bulk:
                    raise click.UsageError(f"--{'bulk' if is_bulk else 'resume'} needs --output")
            elif is_bulk:
                if output.suffix != ".parquet":
                    raise click.UsageError(
                        f"{output.name!r} does not end in .parquet, as a folder of --bulk does"
                    )
            elif output.suffix not in suffixes:
                raise click.UsageError(f"{output.name!r} ends in none of {', '.join(suffixes)}")
            elif output.is_dir():
                raise click.UsageError(f"{output} is a folder")
            command(*args, output=output, resume=resume, **options)

        return run

    return decorate


def require_pyarrow() -> None:
    """UsageError where parquet cannot be written."""
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise click.UsageError(".parquet needs pyarrow: pip install 'primase[parquet]'") from error
