"""Write the tables of docs/operations.md that follow from the code: settings, and memory by model.

    python -m tools.operations_page [--check]

Each lies between two comments that name it; the rest of the page is written by hand.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

import click

from primase_gateway.__main__ import main as gateway
from primase_server.commands import serve
from primase_server.models.evo2 import config as evo2
from primase_server.models.evo2.state import state_bytes as evo2_state_bytes
from primase_server.models.families import EVO2, FAMILIES, PROGEN2
from primase_server.models.progen2 import config as progen2
from primase_server.models.progen2.state import state_bytes as progen2_state_bytes
from tools import page_tables
from tools.descriptors import ROOT
from tools.page_tables import Row, size, table

PAGE = ROOT / "docs" / "operations.md"
FLOAT32_BYTES, HALF_BYTES = 4, 2
EVO2_TOKENS = (1024, 8192, 131_072, 1 << 20)
PROGEN2_TOKENS = (256, 1024, 2048)
# How help tells a default that the option cannot have itself.
TOLD_DEFAULT = re.compile(r"\s*\[default: ([^\]]+)\]")
NO_DEFAULT = "none"

ConfigT = TypeVar("ConfigT")
StateBytes = Callable[[ConfigT, int, int], int]


def tables() -> Mapping[str, str]:
    """Each table by the name that it has on the page."""
    option_head = ("option", "in the environment", "default", "meaning")
    return {
        "settings of the service": table(option_head, options(serve, "PRIMASE_SERVE")),
        "settings of the gateway": table(option_head, options(gateway, "PRIMASE_GATEWAY")),
        "memory of weights": table(("model", "parameters", "float32", "16 bits"), weights()),
        "state of Evo 2": table(state_head(EVO2_TOKENS), states_of_evo2()),
        "state of ProGen2": table(state_head(PROGEN2_TOKENS), states_of_progen2()),
    }


def options(command: click.Command, prefix: str) -> Iterator[Row]:
    """A row for each option, in the order of the help."""
    for option in command.params:
        assert isinstance(option, click.Option)
        assert option.help, f"{option.name} has no help"
        names = " / ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
        twins = (option.envvar,) if isinstance(option.envvar, str) else option.envvar
        told = twins or (f"{prefix}_{str(option.name).upper()}",)
        meaning = TOLD_DEFAULT.sub("", " ".join(option.help.split()))
        if isinstance(option.type, click.Choice):
            meaning += " One of " + ", ".join(option.type.choices) + "."
        twin = ", ".join(f"`{name}`" for name in told)
        yield names, twin, default(option), meaning.replace("|", "\\|")


def default(option: click.Option) -> str:
    """What holds where nobody says anything."""
    if told := TOLD_DEFAULT.search(option.help or ""):
        return " ".join(told[1].split())
    value = option.default
    if option.is_flag:
        return "on" if value is True else "off"
    # click's own mark of no default is no value of an option
    if option.multiple or not isinstance(value, str | int | float) or value == "":
        return NO_DEFAULT
    return f"`{value}`"


def weights() -> Iterator[Row]:
    """Of each name of the catalogue."""
    for family in FAMILIES:
        for name in family.official_names:
            number = family.num_parameters[family.slugs[name]]
            sizes = (size(number * FLOAT32_BYTES), size(number * HALF_BYTES))
            yield (f"`{name}`", f"{number / 1e6:,.1f} M", *sizes)


def state_head(lengths: Sequence[int]) -> Row:
    """Lengths, for each type of numbers."""
    return ("model", *(f"{length:,} tokens" for length in lengths))


def states_of_evo2() -> Iterator[Row]:
    """For the lengths that the model reads: in 16 bits, and in float32."""
    for name in EVO2.official_names:
        config = evo2.VARIANTS[EVO2.slugs[name]]
        lengths = [length for length in EVO2_TOKENS if length <= config.max_tokens]
        cells = [pair(evo2_state_bytes, config, length) for length in lengths]
        yield (f"`{name}`", *padded(cells, EVO2_TOKENS))


def states_of_progen2() -> Iterator[Row]:
    """As of Evo 2."""
    for name in PROGEN2.official_names:
        config = progen2.VARIANTS[PROGEN2.slugs[name]]
        lengths = [length for length in PROGEN2_TOKENS if length <= config.max_tokens]
        cells = [pair(progen2_state_bytes, config, length) for length in lengths]
        yield (f"`{name}`", *padded(cells, PROGEN2_TOKENS))


def padded(cells: Sequence[str], columns: Sequence[int]) -> Row:
    """Without a cell for what cannot be."""
    return (*cells, *[""] * (len(columns) - len(cells)))


def pair(state_bytes: StateBytes[ConfigT], config: ConfigT, num_tokens: int) -> str:
    """In 16 bits, and in float32."""
    half, whole = (state_bytes(config, num_tokens, n) for n in (HALF_BYTES, FLOAT32_BYTES))
    return f"{size(half)}; {size(whole)}"


def filled(page: str) -> str:
    """The page with its tables as they should be. Raises ValueError where one has no place."""
    return page_tables.filled(PAGE.name, page, tables())


def main() -> None:
    """See above."""
    page_tables.run(PAGE, filled, "tools.operations_page", __doc__)


if __name__ == "__main__":
    main()
