"""What `NAME=SOURCE` means: which family, which shape, and weights from where."""

from pathlib import Path

from primase_server.models.families import ESM2, FAMILIES, Family
from primase_server.models.hub import catalogue
from primase_server.models.hub.errors import NotPulled
from primase_server.models.hub.weights_dir import folder_of
from primase_server.models.registry import ServedModel
from primase_server.settings import HUB, ModelSettings

RANDOM = "random"
FIXTURE = "fixture"
DEMO = "demo"
MADE_HERE = (RANDOM, FIXTURE, DEMO)
"""Sources that need no file of the operator's."""


def kind_of(source: str) -> str:
    """The source without what follows a colon; of a path, anything."""
    return source.partition(":")[0]


def seed_of(source: str) -> int:
    """The seed of `random:SEED`, 0 where there is none."""
    return int(source.partition(":")[2] or 0)


def configured(model: ModelSettings, weights_dir: Path) -> ServedModel:
    """A model as the settings name it, not loaded yet. Raises ValueError for what cannot be.

    A name decides the shape of random weights and which weights of the hub, so those need an
    official name; and what comes from the hub must have been pulled.
    """
    kind, _, seed = model.source.partition(":")
    family = family_of(model)
    if kind == RANDOM and model.name not in family.slugs:
        known = ", ".join(slug for each in FAMILIES for slug in each.slugs)
        raise ValueError(f"random weights need one of the names {known}")
    if kind == RANDOM and seed and not seed.isdecimal():
        raise ValueError(f"{model.source!r}: the seed is a whole number, as in random:7")
    if kind == HUB:
        _require_pulled(model.name, weights_dir)
    variant = family.slugs.get(model.name, "")
    return ServedModel(model.name, family.name, variant, model.aliases, source=model.source)


def family_of(model: ModelSettings) -> Family:
    """That whose name the model's begins with; else whose files are so named; else ESM-2."""
    for family in FAMILIES:
        if model.name.startswith(family.name):
            return family
    published = Path(model.source).name.partition(".")[0]
    return next((each for each in FAMILIES if published in each.num_parameters), ESM2)


def _require_pulled(name: str, weights_dir: Path) -> None:
    folder = folder_of(weights_dir, catalogue.find(name))
    if folder.manifest() is None:
        raise NotPulled(
            f"{name} is not in {folder.path}: "
            f"run `primase models pull {name}`, or serve with --pull"
        )
