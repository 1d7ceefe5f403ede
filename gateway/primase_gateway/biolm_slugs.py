"""The names under which the BioLM API serves models."""

from dataclasses import dataclass

from primase.models.v1 import model_service_pb2 as models_pb
from primase_gateway.biolm import has_actions
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
