"""Which official checkpoint stands behind a name, where the hub keeps it, and at which revision.

A revision may be a commit, a tag or a branch. A branch becomes a commit when it is first pulled;
the manifest next to the files records it, and it stays until another revision is asked for.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from primase_server.models.hub.errors import UnknownWeights


@dataclass(frozen=True)
class CatalogueEntry:
    """One official checkpoint: the name it is served as, its own name, its place on the hub."""

    name: str
    checkpoint: str
    repository: str
    revision: str


CATALOGUE: Mapping[str, CatalogueEntry] = {
    entry.name: entry
    for entry in (
        CatalogueEntry("esm2-8m", "esm2_t6_8M_UR50D", "facebook/esm2_t6_8M_UR50D", "main"),
        CatalogueEntry("esm2-35m", "esm2_t12_35M_UR50D", "facebook/esm2_t12_35M_UR50D", "main"),
        CatalogueEntry("esm2-150m", "esm2_t30_150M_UR50D", "facebook/esm2_t30_150M_UR50D", "main"),
        CatalogueEntry("esm2-650m", "esm2_t33_650M_UR50D", "facebook/esm2_t33_650M_UR50D", "main"),
        CatalogueEntry("esm2-3b", "esm2_t36_3B_UR50D", "facebook/esm2_t36_3B_UR50D", "main"),
        CatalogueEntry("esm2-15b", "esm2_t48_15B_UR50D", "facebook/esm2_t48_15B_UR50D", "main"),
    )
}


def find(name: str) -> CatalogueEntry:
    """The entry of a name, case ignored. Raises UnknownWeights naming those there are."""
    entry = CATALOGUE.get(name.lower())
    if entry is None:
        known = ", ".join(CATALOGUE)
        raise UnknownWeights(f"{name[:64]!r} is not in the catalogue, which has {known}")
    return entry
