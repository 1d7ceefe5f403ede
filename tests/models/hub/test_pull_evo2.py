"""Evo 2 comes from the hub as its authors publish it, in parts where it is large, and serves."""

from pathlib import Path

import pytest
import torch

from primase_server.loading.loader import load
from primase_server.loading.sources import configured
from primase_server.models.evo2 import self_test
from primase_server.models.hub.catalogue import CATALOGUE
from primase_server.models.hub.errors import DamagedWeights
from primase_server.models.hub.listing import is_read
from primase_server.models.hub.manifest import Manifest
from primase_server.models.hub.pull import pull
from primase_server.models.hub.remote import Hub
from primase_server.models.hub.weights_dir import PulledFolder, folder_of
from primase_server.settings import ModelSettings, Settings
from tests.hub_server import HubServer
from tests.loading.evo2_files import PLAIN_NAME, PLAIN_VARIANT, entries, shrink, write

OTHERS = {"README.md": b"# Evo 2\n", "config.json": b"{}", ".gitattributes": b"*.pt filter=lfs\n"}


@pytest.fixture
def content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A small checkpoint under a real name; any loss will do."""
    shrink(monkeypatch)
    monkeypatch.setattr(self_test, "most_plausible", lambda _: 100.0)
    return write(tmp_path / "made.pt", entries(seed=3)).read_bytes()


def files_of(content: bytes, num_parts: int) -> dict[str, bytes]:
    name = f"{PLAIN_VARIANT}.pt"
    if num_parts == 1:
        return {**OTHERS, name: content}
    size = -(-len(content) // num_parts)
    parts = {f"{name}.part{i}": content[i * size : (i + 1) * size] for i in range(num_parts)}
    return {**OTHERS, **parts}


def pull_into(weights_dir: Path, server: HubServer) -> tuple[PulledFolder, Manifest]:
    entry = CATALOGUE[PLAIN_NAME]
    hub, folder = Hub(server.url), folder_of(weights_dir, entry)
    listing = hub.listing(entry.repository, "main")
    return folder, pull(hub, listing, folder, "main", lambda _: None)


@pytest.mark.parametrize("num_parts", [1, 2, 3])
def test_what_was_pulled_is_served(
    server: HubServer, tmp_path: Path, content: bytes, num_parts: int
) -> None:
    files = files_of(content, num_parts)
    commit = server.add(CATALOGUE[PLAIN_NAME].repository, files)
    folder, manifest = pull_into(tmp_path, server)
    assert {file.name for file in manifest.files} == set(files) - {"README.md", ".gitattributes"}
    settings = Settings(weights_dir=tmp_path, num_threads=1)
    cards = []
    for _ in range(2):  # the second time the parts are joined already
        served = configured(ModelSettings(PLAIN_NAME, "hub"), tmp_path)
        cards.append(load(served, "hub", settings).runner.card(PLAIN_NAME))
        assert folder.verified(PLAIN_NAME) == manifest
    assert cards[0] == cards[1]
    assert cards[0].variant == PLAIN_VARIANT
    assert (cards[0].weights.source.value, cards[0].weights.revision) == ("hub", commit)
    assert (folder.path / f"{PLAIN_VARIANT}.pt").read_bytes() == content


def test_a_damaged_part_is_not_served(server: HubServer, tmp_path: Path, content: bytes) -> None:
    server.add(CATALOGUE[PLAIN_NAME].repository, files_of(content, 2))
    folder, _ = pull_into(tmp_path, server)
    part = folder.path / f"{PLAIN_VARIANT}.pt.part1"
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    served = configured(ModelSettings(PLAIN_NAME, "hub"), tmp_path)
    with pytest.raises(DamagedWeights, match=r"part1 has sha256"):
        load(served, "hub", Settings(weights_dir=tmp_path, num_threads=1))


def test_weights_of_another_shape_are_not_served(
    server: HubServer, tmp_path: Path, content: bytes
) -> None:
    smaller = entries()
    smaller["norm.scale"] = torch.ones(32)
    changed = write(tmp_path / "changed.pt", smaller).read_bytes()
    server.add(CATALOGUE[PLAIN_NAME].repository, files_of(changed, 1))
    pull_into(tmp_path, server)
    served = configured(ModelSettings(PLAIN_NAME, "hub"), tmp_path)
    with pytest.raises(ValueError, match=r"norm\.scale \[32\], not \[64\]"):
        load(served, "hub", Settings(weights_dir=tmp_path, num_threads=1))
    assert content != changed


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("evo2_1b_base.pt", True),
        ("evo2_40b.pt.part0", True),
        ("evo2_7b_microviridae.pt", True),
        ("evo2_40b.pt.part10", False),
        ("../evo2_7b.pt", False),
        ("optimizer.pt", False),
        ("evo2_7b.safetensors", False),
    ],
)
def test_only_checkpoints_are_asked_for(name: str, wanted: bool) -> None:
    assert is_read(name) == wanted
