"""One demo service for all tests that change nothing in it."""

from collections.abc import Iterator

import pytest

from tests.rpc.live import Live, serving


@pytest.fixture(scope="session")
def live() -> Iterator[Live]:
    with serving() as running:
        yield running
