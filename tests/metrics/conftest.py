"""One measured service for all tests that change nothing in it."""

from collections.abc import Iterator

import pytest

from tests.metrics.answered import answered
from tests.metrics.scraped import Scraped
from tests.rpc.live import Live


@pytest.fixture(scope="session")
def measured() -> Iterator[Live]:
    with answered() as live:
        yield live


@pytest.fixture
def scraped(measured: Live) -> Scraped:
    return Scraped.of(measured)
