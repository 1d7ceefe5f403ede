"""One scripted service and one gateway for all tests; each test starts with a new script."""

from collections.abc import Iterator

import httpx
import pytest

from primase_gateway.settings import Settings
from tests.gateway import scripted
from tests.gateway.live import Live, gateway
from tests.gateway.scripted import Script, ScriptedServer


@pytest.fixture(scope="session")
def service() -> Iterator[ScriptedServer]:
    with ScriptedServer().running() as server:
        yield server


@pytest.fixture(scope="session")
def live(service: ScriptedServer) -> Iterator[Live]:
    with gateway(Settings(server=service.address)) as running:
        yield running


@pytest.fixture
def script(service: ScriptedServer) -> Script:
    service.reset([scripted.model()])
    return service.script


@pytest.fixture
def client(live: Live, script: Script) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=live.url, timeout=30) as opened:
        yield opened
