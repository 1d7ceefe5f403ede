"""Which family a model is of, and the options that are for one family alone."""

from collections.abc import Callable, Mapping
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
    """An option that models of one family take."""

    def __init__(self, *args: Any, family: FamilyName, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.family = family
        self.help = f"{TITLES[family]}: {self.help}"


def option_of(
    family: FamilyName, *names: str, **attributes: Any
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """`click.option` for models of one family."""
    return click.option(*names, cls=FamilyOption, family=family, **attributes)


def family_of(client: Client, model: str, known: tuple[FamilyName, ...]) -> FamilyName:
    """The family of a model, as the server says.

    UsageError where it is not `known`, or where an option was given that is for another one.
    """
    context = click.get_current_context()
    family = _NAMES.get(client.model(model).family)
    if family is None or family not in known:
        title = "of another family" if family is None else f"an {TITLES[family]} model"
        models = " and ".join(TITLES[name] for name in known)
        raise click.UsageError(
            f"{model!r} is {title}; {context.info_name} is for models of {models}"
        )
    for option in context.command.params:
        if (
            isinstance(option, FamilyOption)
            and option.family != family
            and context.get_parameter_source(option.name or "") in _GIVEN
        ):
            raise click.UsageError(
                f"{option.opts[0]} is for models of {TITLES[option.family]}, and {model!r} is one "
                f"of {TITLES[family]}"
            )
    return family


_GIVEN = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)
