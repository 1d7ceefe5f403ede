"""The catalogue names commits, so that a pull today and one next year bring the same bytes."""

import re

import pytest

from primase_server.models.esm2.config import SLUGS
from primase_server.models.hub.catalogue import CATALOGUE, CatalogueEntry


@pytest.mark.parametrize("entry", CATALOGUE.values(), ids=lambda entry: entry.name)
def test_every_name_is_pinned_to_a_commit_of_its_own(entry: CatalogueEntry) -> None:
    assert re.fullmatch("[0-9a-f]{40}", entry.revision)
    assert entry.repository == f"facebook/{SLUGS[entry.name]}"
    assert [other.revision for other in CATALOGUE.values()].count(entry.revision) == 1


def test_every_official_size_is_there() -> None:
    assert set(CATALOGUE) == set(SLUGS) - {"esm2-fixture"}
