"""One demo server for all tests that leave it running; the others start their own."""

import os
from collections.abc import Iterator

import httpx
import pytest

import primase
from primase.esm2_client import Esm2
from primase.evo2_client import Evo2
from primase.progen2_client import ProGen2
from tests.e2e.server import Server, serving

MODEL = "esm2-650m"
DNA_MODEL = "evo2-1b-base"
PROTEIN_MODEL = "progen2-oas"

# What is published needs the official weights, which are not part of this repository.
collect_ignore = (
    []
    if os.environ.get("PRIMASE_WEIGHTS_DIR")
    else ["test_published_brca1.py", "test_published_variant_effect.py"]
)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with serving("--demo", "--withdraw-s=0") as running:
        yield running


@pytest.fixture
def rest(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


@pytest.fixture
def client(server: Server) -> Iterator[primase.Client]:
    with primase.connect(server.target, timeout_s=60) as connected:
        yield connected


@pytest.fixture
def esm2(client: primase.Client) -> Esm2:
    return client.esm2(MODEL)


@pytest.fixture
def evo2(client: primase.Client) -> Evo2:
    return client.evo2(DNA_MODEL)


@pytest.fixture
def progen2(client: primase.Client) -> ProGen2:
    return client.progen2(PROTEIN_MODEL)
