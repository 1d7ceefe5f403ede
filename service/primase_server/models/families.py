"""The families of models that are served here, as far as that can be said without torch."""

from collections.abc import Mapping
from dataclasses import dataclass

from primase_server.models.esm2 import config as esm2
from primase_server.models.evo2 import config as evo2
from primase_server.models.progen2 import config as progen2


@dataclass(frozen=True)
class Family:
    """Models of one architecture.

    slugs: the variant behind each official name. num_parameters: by variant. widths: numbers of a
    token between layers, by variant. stored_bytes: of one number in the official files.
    """

    name: str
    slugs: Mapping[str, str]
    num_parameters: Mapping[str, int]
    widths: Mapping[str, int]
    stored_bytes: int

    @property
    def fixture(self) -> str:
        """The variant of the tiny weights that come with the service."""
        return self.slugs[f"{self.name}-fixture"]

    @property
    def official_names(self) -> tuple[str, ...]:
        """The names of published models."""
        return tuple(slug for slug in self.slugs if slug != f"{self.name}-fixture")


ESM2 = Family(
    "esm2",
    esm2.SLUGS,
    {name: config.num_parameters for name, config in esm2.VARIANTS.items()},
    {name: config.width for name, config in esm2.VARIANTS.items()},
    stored_bytes=4,
)
EVO2 = Family(
    "evo2",
    evo2.SLUGS,
    {name: config.num_parameters for name, config in evo2.VARIANTS.items()},
    {name: config.width for name, config in evo2.VARIANTS.items()},
    stored_bytes=2,
)
PROGEN2 = Family(
    "progen2",
    progen2.SLUGS,
    {name: config.num_parameters for name, config in progen2.VARIANTS.items()},
    {name: config.width for name, config in progen2.VARIANTS.items()},
    stored_bytes=4,
)
FAMILIES = (ESM2, EVO2, PROGEN2)


def family_named(name: str) -> Family:
    """The family of that name. Raises StopIteration for none."""
    return next(family for family in FAMILIES if family.name == name)


def family_of_checkpoint(checkpoint: str) -> Family:
    """The family that a variant is of. Raises StopIteration for none."""
    return next(family for family in FAMILIES if checkpoint in family.num_parameters)
