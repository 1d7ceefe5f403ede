"""Which family a model is of, and the options that are for some families alone."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click
from click.core import ParameterSource

from primase.client import Client
from primase.models.v1 import model_service_pb2 as models_pb2
from primase.models.v1.model_service_pb2 import ModelFamily
from primase.names import FamilyName

TITLES: Mapping[FamilyName, str] = {"esm2": "ESM-2", "evo2": "Evo 2", "progen2": "ProGen2"}

_NAMES: Mapping[ModelFamily.ValueType, FamilyName] = {
    models_pb2.MODEL_FAMILY_ESM2: "esm2",
    models_pb2.MODEL_FAMILY_EVO2: "evo2",
    models_pb2.MODEL_FAMILY_PROGEN2: "progen2",
}


class FamilyOption(click.Option):
    """An option that models of some families take."""

    def __init__(self, *args: Any, families: tuple[FamilyName, ...], **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.families = families
        self.help = f"{', '.join(TITLES[family] for family in families)}: {self.help}"


def option_of(
    families: FamilyName | tuple[FamilyName, ...], *names: str, **attributes: Any
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """`click.option` for models of one family, or of some."""
    its = (families,) if isinstance(families, str) else families
    return click.option(*names, cls=FamilyOption, families=its, **attributes)


def family_of(client: Client, model: str, known: tuple[FamilyName, ...]) -> FamilyName:
    """The family of a model, as the server says.

    UsageError where it is not `known`, or where an option was given that is for another one.
    """
    context = click.get_current_context()
    family = family_name(client.model(model))
    if family is None or family not in known:
        title = "of another family" if family is None else _a_model_of(family)
        raise click.UsageError(
            f"{model!r} is {title}; {context.info_name} is for models of {_all_of(known)}"
        )
    for option in context.command.params:
        if (
            isinstance(option, FamilyOption)
            and family not in option.families
            and context.get_parameter_source(option.name or "") in _GIVEN
        ):
            raise click.UsageError(
                f"{option.opts[0]} is for models of {_all_of(option.families)}, and {model!r} is "
                f"one of {TITLES[family]}"
            )
    return family


def family_name(model: models_pb2.Model) -> FamilyName | None:
    """The family of a model; None where this client does not know it."""
    return _NAMES.get(model.family)


def _a_model_of(family: FamilyName) -> str:
    title = TITLES[family]
    return f"{'an' if title[0] in 'AEIOU' else 'a'} {title} model"


def _all_of(families: Sequence[FamilyName]) -> str:
    *others, last = (TITLES[family] for family in families)
    return f"{', '.join(others)} and {last}" if others else last


_GIVEN = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)
