"""The tests' hub is one that the hub's own library can use."""

from pathlib import Path

from huggingface_hub import hf_hub_download

from tests.hub_checkpoints import sharded
from tests.hub_server import HubServer
from tests.models.hub.conftest import REPOSITORY


def test_the_library_downloads_from_it(server: HubServer, tmp_path: Path) -> None:
    files = sharded()
    commit = server.add(REPOSITORY, files)
    for name, content in files.items():
        path = Path(
            hf_hub_download(REPOSITORY, name, endpoint=server.url, cache_dir=tmp_path, token=False)
        )
        assert path.parent.name == commit
        assert path.read_bytes() == content
