"""Which model answers a NIM route."""

import re
from collections.abc import Sequence

from primase.models.v1 import model_service_pb2 as models_pb
from primase_gateway.errors import Refusal
from primase_gateway.gateway import Gateway

SIZED = re.compile(r"evo2-\d+b")


async def choose(gateway: Gateway, size: str | None = None) -> models_pb.Model:
    """The only Evo 2, or the only one of `size`, such as `evo2-7b`; of several the configured one.

    As listed, also where it does not answer yet. Raises Refusal (UNKNOWN_MODEL).
    """
    configured = gateway.settings.nim_model
    models = await candidates(gateway)
    if size is not None:
        models = called(models, size)
    if configured and (size is None or len(models) > 1):
        models = called(models, configured)
    if len(models) != 1:
        raise Refusal("UNKNOWN_MODEL", _complaint(len(models), size or configured or "Evo 2"))
    return models[0]


async def candidates(gateway: Gateway) -> list[models_pb.Model]:
    """Every Evo 2, in order of name. Raises Refusal."""
    models = await gateway.catalogue.list_models()
    return [model for model in models if model.family == models_pb.MODEL_FAMILY_EVO2]


def called(models: Sequence[models_pb.Model], name: str) -> list[models_pb.Model]:
    """Those of that name or alias; else, where it is a size, those of that size."""
    wanted = name.lower()
    named = [model for model in models if wanted in _names(model)]
    if named or not SIZED.fullmatch(wanted):
        return named
    return [model for model in models if is_of_size(model, wanted)]


def _names(model: models_pb.Model) -> set[str]:
    return {name.lower() for name in (model.name, *model.aliases)}


def is_of_size(model: models_pb.Model, size: str) -> bool:
    """Whether it is `evo2-7b`, say, or a variant of it such as `evo2_7b_262k`."""
    variant = model.variant.replace("_", "-")
    return variant == size or variant.startswith(f"{size}-")


def _complaint(count: int, wanted: str) -> str:
    if count:
        return f"several models are {wanted}: say which with PRIMASE_GATEWAY_NIM_MODEL"
    return f"no {wanted} is served here"
