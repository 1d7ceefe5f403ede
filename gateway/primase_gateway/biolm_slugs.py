"""The names under which the BioLM API serves models."""

from collections.abc import Iterable
from dataclasses import dataclass

from primase.models.v1 import model_service_pb2 as models_pb
from primase_gateway.biolm import FAMILIES, Family, has_actions
from primase_gateway.gateway import Gateway


@dataclass(frozen=True)
class Slug:
    """One name or alias, in lower case, and the model behind it."""

    name: str
    model: models_pb.Model


async def served(gateway: Gateway) -> list[Slug]:
    """Every name with an action, in order of name. Raises Refusal."""
    models = [model for model in await gateway.catalogue.list_models() if has_actions(model)]
    slugs = (Slug(name.lower(), model) for model in models for name in (model.name, *model.aliases))
    return sorted(slugs, key=lambda slug: slug.name)


Names = tuple[tuple[Family, tuple[str, ...]], ...]


def names_by_family(slugs: Iterable[Slug]) -> Names:
    """The names of each family's models, in order."""
    listed = list(slugs)
    return tuple(
        (family, tuple(slug.name for slug in listed if slug.model.family == family))
        for family in FAMILIES
    )
