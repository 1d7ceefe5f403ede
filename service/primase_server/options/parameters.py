"""How the values of options are read, and the options that several commands have."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from primase_server.settings import (
    AUTO,
    CPU,
    DATA_TYPES,
    Listen,
    ModelSettings,
    Need,
    ReplicaRange,
)


class Parsed(click.ParamType[Any]):
    """Text that a setting reads itself, by a function that raises ValueError where it cannot."""

    def __init__(self, name: str, parse: Callable[[str], object]) -> None:
        self.name = name
        self._parse = parse

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> object:
        """Parse it, or fail naming what is wrong; what is parsed already stays."""
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


MODEL = Parsed("name=source", ModelSettings.parse)
LISTEN = Parsed("host:port", Listen.parse)
NEED = Parsed("[name=]amount", Need.parse)
REPLICAS = Parsed("name=min[:max]", ReplicaRange.parse)
PEM = click.Path(exists=True, dir_okay=False, path_type=Path)
SECONDS = click.FloatRange(0)
SOME_SECONDS = click.FloatRange(0, min_open=True)
COUNT = click.IntRange(1)

device_option = click.option(
    "--device",
    default=CPU,
    show_default=True,
    help="cpu, cuda or cuda:N. cuda is the first GPU, and for Evo 2 all that are visible.",
)
dtype_option = click.option(
    "--dtype",
    default=AUTO,
    show_default=True,
    type=click.Choice((AUTO, *DATA_TYPES)),
    help="Of all models. auto is float32, and bfloat16 for Evo 2 on a GPU, as it was trained.",
)
