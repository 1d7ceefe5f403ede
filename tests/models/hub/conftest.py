"""A hub for each test, and a folder to pull into."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from primase_server.models.hub import download
from primase_server.models.hub.catalogue import CATALOGUE
from primase_server.models.hub.manifest import Manifest
from primase_server.models.hub.pull import pull
from primase_server.models.hub.remote import Hub
from primase_server.models.hub.weights_dir import PulledFolder
from tests.hub_server import HubServer, hub_server

REPOSITORY = CATALOGUE["esm2-8m"].repository


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    monkeypatch.setattr(download, "FIRST_PAUSE_S", 0.001)
    with hub_server() as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> PulledFolder:
    return PulledFolder(tmp_path / "weights" / "esm2_t6_8M_UR50D")


class Puller:
    """Pulls into one folder, and counts the bytes as a progress bar would."""

    def __init__(self, server: HubServer, folder: PulledFolder) -> None:
        self.hub, self.folder = Hub(server.url), folder
        self.num_bytes = 0

    def __call__(self, revision: str = "main") -> Manifest:
        self.num_bytes = 0
        listing = self.hub.listing(REPOSITORY, revision)
        manifest = pull(self.hub, listing, self.folder, revision, self._count)
        assert self.num_bytes == listing.num_bytes == manifest.num_bytes
        return manifest

    def _count(self, num_bytes: int) -> None:
        self.num_bytes += num_bytes


@pytest.fixture
def pull_it(server: HubServer, folder: PulledFolder) -> Puller:
    return Puller(server, folder)
