"""Lists on the command line, with commas between the entries."""

from collections.abc import Callable
from typing import TypeVar

import click

EntryT = TypeVar("EntryT")


def comma_list(
    convert: Callable[[str], EntryT],
) -> Callable[[click.Context, click.Parameter, str], list[EntryT]]:
    """A callback of an option; `convert` raises ValueError saying what is wrong with an entry."""

    def callback(ctx: click.Context, param: click.Parameter, value: str) -> list[EntryT]:
        try:
            return [convert(entry.strip()) for entry in value.split(",")] if value else []
        except ValueError as error:
            raise click.BadParameter(str(error), ctx, param) from error

    return callback


def one_of(names: tuple[str, ...]) -> Callable[[str], str]:
    """An entry that is one of `names`."""

    def convert(entry: str) -> str:
        if entry not in names:
            raise ValueError(f"{entry!r} is none of {', '.join(names)}")
        return entry

    return convert


def layer(entry: str) -> int:
    """A layer, negative from the last."""
    try:
        return int(entry)
    except ValueError as error:
        raise ValueError(f"{entry!r} is no layer number") from error


def layer_and_head(entry: str) -> tuple[int, int]:
    """A pair such as 5/19."""
    its_layer, _, head = entry.partition("/")
    if not (its_layer.isdecimal() and head.isdecimal()):
        raise ValueError(f"{entry!r} is not LAYER/HEAD, such as 5/19")
    return int(its_layer), int(head)
