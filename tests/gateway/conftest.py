"""One scripted service and one gateway for all tests; each test starts with a new script."""

from collections.abc import Iterator

import httpx
import pytest

from primase_gateway.settings import Settings
from tests.gateway import scripted, scripted_evo2, scripted_progen2
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


@pytest.fixture(scope="session")
def opened(live: Live) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=live.url, timeout=30) as client:
        yield client


@pytest.fixture
def client(opened: httpx.Client, script: Script) -> httpx.Client:
    return opened


@pytest.fixture
def evo2(service: ScriptedServer, opened: httpx.Client) -> httpx.Client:
    service.reset([scripted_evo2.model()])
    return opened


@pytest.fixture
def evo2_script(evo2: httpx.Client, service: ScriptedServer) -> Script:
    return service.script


@pytest.fixture
def progen2(service: ScriptedServer, opened: httpx.Client) -> httpx.Client:
    service.reset([scripted_progen2.model()])
    return opened


@pytest.fixture
def progen2_script(progen2: httpx.Client, service: ScriptedServer) -> Script:
    return service.script
