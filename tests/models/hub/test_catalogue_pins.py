"""The catalogue names commits, so that a pull today and one next year bring the same bytes."""

import re

import pytest

from primase_server.models.esm2.config import SLUGS as ESM2_SLUGS
from primase_server.models.evo2.config import SLUGS as EVO2_SLUGS
from primase_server.models.hub.catalogue import CATALOGUE, MAIN, CatalogueEntry
from primase_server.models.progen2.config import SLUGS as PROGEN2_SLUGS

SLUGS = {**ESM2_SLUGS, **EVO2_SLUGS, **PROGEN2_SLUGS}
FIXTURES = {"esm2-fixture", "evo2-fixture", "progen2-fixture"}
ELSEWHERE = {"evo2-7b-microviridae": "evo-design/evo-2-7b-8k-microviridae"}


UNPINNED = {name for name in PROGEN2_SLUGS if name != "progen2-small"}
"""Nobody's public code says which commits of these it takes."""

OWNERS = {"evo2": "arcinstitute", "esm2": "facebook", "progen2": "hugohrban"}
PINNED = [entry for entry in CATALOGUE.values() if entry.revision != MAIN]


@pytest.mark.parametrize("entry", CATALOGUE.values(), ids=lambda entry: entry.name)
def test_every_name_has_its_place(entry: CatalogueEntry) -> None:
    assert entry.checkpoint == SLUGS[entry.name]
    owner = OWNERS[entry.name.partition("-")[0]]
    assert entry.repository == ELSEWHERE.get(entry.name, f"{owner}/{entry.checkpoint}")


def test_names_are_pinned_to_a_commit_of_their_own() -> None:
    revisions = [entry.revision for entry in PINNED]
    assert all(re.fullmatch("[0-9a-f]{40}", revision) for revision in revisions)
    assert len(set(revisions)) == len(revisions)
    assert {entry.name for entry in PINNED} == set(CATALOGUE) - UNPINNED


def test_every_official_model_is_there() -> None:
    assert set(CATALOGUE) == set(SLUGS) - FIXTURES
