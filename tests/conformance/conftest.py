"""One run of each runner, for all tests of its cases."""

from collections.abc import Callable, Iterator

import pytest

from tests.conformance import runners, servers
from tests.conformance.runners import Ran
from tests.conformance.servers import Servers


@pytest.fixture(scope="session")
def answering() -> Iterator[Servers]:
    with servers.running() as found:
        yield found


@pytest.fixture(scope="session")
def ran(answering: Servers) -> Callable[[str], Ran]:
    found: dict[str, Ran] = {}

    def run(language: str) -> Ran:
        if language not in found:
            found[language] = runners.run(language, answering)
        return found[language]

    return run
