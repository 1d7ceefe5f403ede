"""The catalogue names commits, so that a pull today and one next year bring the same bytes."""

import re

import pytest

from primase_server.models.esm2.config import SLUGS as ESM2_SLUGS
from primase_server.models.evo2.config import SLUGS as EVO2_SLUGS
from primase_server.models.hub.catalogue import CATALOGUE, CatalogueEntry

SLUGS = {**ESM2_SLUGS, **EVO2_SLUGS}
FIXTURES = {"esm2-fixture", "evo2-fixture"}
ELSEWHERE = {"evo2-7b-microviridae": "evo-design/evo-2-7b-8k-microviridae"}


@pytest.mark.parametrize("entry", CATALOGUE.values(), ids=lambda entry: entry.name)
def test_every_name_is_pinned_to_a_commit_of_its_own(entry: CatalogueEntry) -> None:
    assert re.fullmatch("[0-9a-f]{40}", entry.revision)
    assert entry.checkpoint == SLUGS[entry.name]
    owner = "arcinstitute" if entry.name.startswith("evo2") else "facebook"
    assert entry.repository == ELSEWHERE.get(entry.name, f"{owner}/{entry.checkpoint}")
    assert [other.revision for other in CATALOGUE.values()].count(entry.revision) == 1


def test_every_official_model_is_there() -> None:
    assert set(CATALOGUE) == set(SLUGS) - FIXTURES
