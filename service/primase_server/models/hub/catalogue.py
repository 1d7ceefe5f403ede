"""Which official checkpoint stands behind a name, where the hub keeps it, and at which revision.

Each name is pinned to a commit, where public code says which one is meant. Another commit, a tag or
a branch can be asked for; a branch becomes a commit when it is pulled, the manifest next to the
files records it, and it stays until another revision is asked for.
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


_ESM2 = {
    "esm2-8m": ("esm2_t6_8M_UR50D", "c731040fcd8d73dceaa04b0a8e6329b345b0f5df"),
    "esm2-35m": ("esm2_t12_35M_UR50D", "6fbf070e65b0b7291e7bbcd451118c216cff79d8"),
    "esm2-150m": ("esm2_t30_150M_UR50D", "a695f6045e2e32885fa60af20c13cb35398ce30c"),
    "esm2-650m": ("esm2_t33_650M_UR50D", "08e4846e537177426273712802403f7ba8261b6c"),
    "esm2-3b": ("esm2_t36_3B_UR50D", "476b639933c8baad5ad09a60ac1a87f987b656fc"),
    "esm2-15b": ("esm2_t48_15B_UR50D", "5fbca39631164edc1d402a5aa369f982f72ee282"),
}
"""Official checkpoint and commit of each name, as public code that pins them has it."""

_EVO2 = {
    "evo2-1b-base": ("arcinstitute/evo2_1b_base", "2279e1df422c991037470302360edd40d0d2ea1e"),
    "evo2-7b": ("arcinstitute/evo2_7b", "bda0089f92582d5baabf0f22d9fc85f3588f6b58"),
    "evo2-7b-base": ("arcinstitute/evo2_7b_base", "074097e9dc788e8bfe045d6495b9f6153a7c6bfc"),
    "evo2-7b-262k": ("arcinstitute/evo2_7b_262k", "27c4f055e8b729a27ab5c3e6c8b9c35367a76fba"),
    "evo2-7b-microviridae": (
        "evo-design/evo-2-7b-8k-microviridae",
        "a363aa61d628e5342d5ee148bc0dbac27a1533b7",
    ),
    "evo2-20b": ("arcinstitute/evo2_20b", "8b0f0a9a70c66367ed181a17d049b95699a28fed"),
    "evo2-40b": ("arcinstitute/evo2_40b", "d529aa57c30771814217ad89baaeaf6e2315c7d7"),
    "evo2-40b-base": ("arcinstitute/evo2_40b_base", "a91f87a93194a23d553186b11e11c55d66456d55"),
}
"""Repository and commit of each name, likewise."""

MAIN = "main"
"""A branch: whoever pulls gets its newest commit, and keeps that."""

_PROGEN2 = {
    "small": "43237a0b733c6629226a079266d2985c9fdce9b7",
    "medium": MAIN,
    "base": MAIN,
    "oas": MAIN,
    "large": MAIN,
    "BFD90": MAIN,
    "xlarge": MAIN,
}
"""Commit of each, of a port in safetensors whose tensors have the official names and order."""

CATALOGUE: Mapping[str, CatalogueEntry] = (
    {
        name: CatalogueEntry(name, checkpoint, f"facebook/{checkpoint}", commit)
        for name, (checkpoint, commit) in _ESM2.items()
    }
    | {
        name: CatalogueEntry(name, name.replace("-", "_"), repository, commit)
        for name, (repository, commit) in _EVO2.items()
    }
    | {
        f"progen2-{size.lower()}": CatalogueEntry(
            f"progen2-{size.lower()}", f"progen2-{size}", f"hugohrban/progen2-{size}", revision
        )
        for size, revision in _PROGEN2.items()
    }
)


def find(name: str) -> CatalogueEntry:
    """The entry of a name, case ignored. Raises UnknownWeights naming those there are."""
    entry = CATALOGUE.get(name.lower())
    if entry is None:
        known = ", ".join(CATALOGUE)
        raise UnknownWeights(f"{name[:64]!r} is not in the catalogue, which has {known}")
    return entry
