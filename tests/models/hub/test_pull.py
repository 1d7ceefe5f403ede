"""Pulling from a hub: everything arrives as it was, or nothing does."""

import hashlib
import io
from pathlib import Path

import pytest
import torch

from primase_server.models.esm2.random_state import RandomState
from primase_server.models.esm2.weights import open_checkpoint
from primase_server.models.hub.download import download
from primase_server.models.hub.errors import (
    CannotStore,
    DamagedWeights,
    HubRefused,
    HubUnreachable,
    NotPulled,
    PullUnderWay,
)
from primase_server.models.hub.remote import Hub
from primase_server.models.hub.weights_dir import PARTIAL, PulledFolder
from tests.hub_checkpoints import ESM2_8M, TINY, sharded, whole
from tests.hub_server import HubServer
from tests.models.esm2.hub import hub_tensors
from tests.models.hub.conftest import REPOSITORY, Puller

MODEL = "model.safetensors"


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def unfinished(folder: PulledFolder) -> list[Path]:
    """Files that are there of a pull that did not finish."""
    partial = folder.path.parent / PARTIAL
    return sorted(path for path in partial.glob("*/*") if path.is_file())


def test_weights_arrive_as_they_were(
    server: HubServer, folder: PulledFolder, pull_it: Puller
) -> None:
    files = whole(ESM2_8M, seed=3)
    commit = server.add(REPOSITORY, files)
    manifest = pull_it()
    assert manifest.revision == commit
    assert manifest.requested_revision == "main"
    assert {file.name: file.sha256 for file in manifest.files} == {
        name: hashlib.sha256(files[name]).hexdigest() for name in ("config.json", MODEL)
    }
    assert (folder.path / MODEL).read_bytes() == files[MODEL]
    assert folder.verified("esm2-8m") == folder.manifest() == manifest
    expected = RandomState(ESM2_8M, 3)
    tensors = open_checkpoint(folder.path).tensors
    assert set(tensors) == set(expected)
    assert all(torch.equal(tensors[name], expected[name]) for name in expected)


def test_nothing_is_asked_for_but_what_we_read(server: HubServer, pull_it: Puller) -> None:
    files = whole()
    commit = server.add(REPOSITORY, files)
    pull_it()
    sha256 = hashlib.sha256(files[MODEL]).hexdigest()
    assert [(request.method, request.path) for request in server.requests] == [
        ("GET", f"/api/models/{REPOSITORY}/revision/main"),
        ("GET", f"/{REPOSITORY}/resolve/{commit}/config.json"),
        ("GET", f"/{REPOSITORY}/resolve/{commit}/{MODEL}"),
        ("GET", f"/cdn/{sha256}"),
    ]


def test_a_token_is_for_the_hub_alone(
    server: HubServer, pull_it: Puller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_ours")
    server.add(REPOSITORY, whole())
    pull_it()
    assert all(r.is_authorized for r in server.requests if not r.path.startswith("/cdn/"))
    assert [r.is_authorized for r in server.requested("/cdn/")] == [False]


def test_shards_arrive_with_their_index(
    server: HubServer, folder: PulledFolder, pull_it: Puller
) -> None:
    server.add(REPOSITORY, sharded())
    assert len(pull_it().files) == 5
    checkpoint = open_checkpoint(folder.path)
    assert len(checkpoint.files) == 3
    expected = RandomState(TINY, 0)
    assert all(torch.equal(checkpoint.tensors[name], expected[name]) for name in expected)


def test_a_cut_connection_goes_on_where_it_stopped(
    server: HubServer, folder: PulledFolder, pull_it: Puller
) -> None:
    files = whole(ESM2_8M)
    server.add(REPOSITORY, files)
    server.cuts = {MODEL: [10_000_000, 5_000_000]}
    pull_it()
    ranges = [request.range for request in server.requested("/cdn/")]
    assert ranges == ["", "bytes=10000000-", "bytes=15000000-"]
    assert (folder.path / MODEL).read_bytes() == files[MODEL]


def test_a_later_pull_goes_on_where_a_broken_one_stopped(
    server: HubServer, folder: PulledFolder, pull_it: Puller
) -> None:
    files = whole()
    server.add(REPOSITORY, files)
    server.cuts = {MODEL: [100_000, 0, 0, 0, 0, 0, 0]}
    with pytest.raises(HubUnreachable, match=MODEL):
        pull_it()
    assert folder.manifest() is None
    with pytest.raises(NotPulled):
        folder.verified("esm2-8m")
    assert not folder.path.exists()
    assert {path.name: path.stat().st_size for path in unfinished(folder)} == {
        "config.json": len(files["config.json"]),
        f"{MODEL}.part": 100_000,
    }
    server.cuts.clear()
    server.requests.clear()
    pull_it()
    assert [request.range for request in server.requested("/cdn/")] == ["bytes=100000-"]
    assert not server.requested(f"/{REPOSITORY}/resolve/main/config.json")
    assert (folder.path / MODEL).read_bytes() == files[MODEL]
    assert unfinished(folder) == []


def test_a_hub_that_cannot_resume_sends_the_whole(
    server: HubServer, folder: PulledFolder, pull_it: Puller
) -> None:
    files = whole()
    server.add(REPOSITORY, files)
    server.cuts, server.ignores_ranges = {MODEL: [50_000]}, True
    pull_it()
    assert (folder.path / MODEL).read_bytes() == files[MODEL]


def test_a_hub_that_is_briefly_out_of_order_is_asked_again(
    server: HubServer, pull_it: Puller
) -> None:
    commit = server.add(REPOSITORY, whole())
    listing = pull_it.hub.listing(REPOSITORY, "main")
    server.outages = 3
    with pull_it.folder.staged(commit) as staged:
        part = staged / "config.json.part"
        download(pull_it.hub, listing, listing.files[0], part, lambda _: None)
        assert part.stat().st_size == listing.files[0].size


@pytest.mark.parametrize("name", [MODEL, "config.json"])
def test_a_corrupted_file_is_refused(
    server: HubServer, folder: PulledFolder, pull_it: Puller, name: str
) -> None:
    files = whole()
    server.add(REPOSITORY, files)
    server.corrupted = {name}
    flipped = files[name][:-1] + bytes([files[name][-1] ^ 1])
    with pytest.raises(DamagedWeights) as raised:
        pull_it()
    assert name in str(raised.value)
    if name == MODEL:
        assert hashlib.sha256(files[name]).hexdigest() in str(raised.value)
        assert hashlib.sha256(flipped).hexdigest() in str(raised.value)
    assert not folder.path.exists()
    assert not [path for path in unfinished(folder) if path.name.startswith(name)]
    server.corrupted.clear()
    pull_it()
    assert (folder.path / name).read_bytes() == files[name]


def test_another_revision_replaces_the_first(
    server: HubServer, folder: PulledFolder, pull_it: Puller
) -> None:
    server.add(REPOSITORY, sharded(seed=1))
    pull_it()
    newer = whole(seed=2)
    commit = server.add(REPOSITORY, newer, branch="refs/pr/2")
    manifest = pull_it("refs/pr/2")
    assert (manifest.requested_revision, manifest.revision) == ("refs/pr/2", commit)
    assert names_in(folder.path) == {"config.json", MODEL, "manifest.json"}
    assert (folder.path / MODEL).read_bytes() == newer[MODEL]


def test_a_failed_pull_leaves_what_was_there(
    server: HubServer, folder: PulledFolder, pull_it: Puller
) -> None:
    server.add(REPOSITORY, whole(seed=1))
    before = pull_it()
    server.add(REPOSITORY, whole(seed=2))
    server.corrupted = {MODEL}
    with pytest.raises(DamagedWeights):
        pull_it()
    assert folder.verified("esm2-8m") == before


def test_a_pull_that_ended_before_its_last_rename_downloads_nothing_again(
    server: HubServer, folder: PulledFolder, pull_it: Puller
) -> None:
    commit = server.add(REPOSITORY, whole())
    before = pull_it()
    staged = folder.path.parent / PARTIAL / f"{folder.path.name}@{commit}"
    folder.path.rename(staged)
    server.requests.clear()
    assert pull_it() == before == folder.verified("esm2-8m")
    assert len(server.requests) == 1  # the listing


def test_an_unfinished_pull_of_another_revision_is_thrown_away(
    server: HubServer, folder: PulledFolder, pull_it: Puller
) -> None:
    with folder.staged("0" * 40) as staged:
        (staged / f"{MODEL}.part").write_bytes(b"begun")
    server.add(REPOSITORY, whole())
    pull_it()
    assert not staged.exists()


def test_a_folder_that_was_not_pulled_is_left_alone(
    server: HubServer, folder: PulledFolder, pull_it: Puller
) -> None:
    server.add(REPOSITORY, whole())
    folder.path.mkdir(parents=True)
    (folder.path / "thesis.txt").write_text("chapter 1")
    with pytest.raises(CannotStore, match="not pulled"):
        pull_it()
    assert names_in(folder.path) == {"thesis.txt"}


def test_two_pulls_at_once_do_not_meet(
    server: HubServer, folder: PulledFolder, pull_it: Puller
) -> None:
    commit = server.add(REPOSITORY, whole())
    with folder.staged(commit), pytest.raises(PullUnderWay):
        pull_it()
    pull_it()


def test_a_revision_there_is_not(server: HubServer, pull_it: Puller) -> None:
    server.add(REPOSITORY, whole())
    with pytest.raises(HubRefused, match="v9: the hub has no such revision"):
        pull_it("v9")


def test_a_repository_there_is_not(server: HubServer, pull_it: Puller) -> None:
    with pytest.raises(HubRefused, match=f"{REPOSITORY} at main: the hub has no such repository"):
        pull_it()


def test_a_repository_without_weights_is_refused(server: HubServer, pull_it: Puller) -> None:
    server.add(REPOSITORY, {"config.json": b"{}", "tf_model.h5": b"of no use here"})
    with pytest.raises(HubRefused, match=r"has no weights at [0-9a-f]{40} that are read here"):
        pull_it()


def test_weights_of_torch_save_are_pulled_where_there_are_no_others(
    server: HubServer, folder: PulledFolder, pull_it: Puller
) -> None:
    tensors = dict(RandomState(TINY, 5))
    saved = io.BytesIO()
    torch.save(hub_tensors(tensors), saved)
    config = whole(TINY)["config.json"]
    server.add(REPOSITORY, {"config.json": config, "pytorch_model.bin": saved.getvalue()})
    assert {file.name for file in pull_it().files} == {"config.json", "pytorch_model.bin"}
    found = open_checkpoint(folder.path).tensors
    assert set(found) == set(tensors)
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)


def test_weights_of_torch_save_are_left_where_there_are_safetensors(
    server: HubServer, pull_it: Puller
) -> None:
    server.add(REPOSITORY, whole() | {"pytorch_model.bin": b"not looked at"})
    assert {file.name for file in pull_it().files} == {"config.json", MODEL}


@pytest.mark.parametrize("body", [b"<html>Sign in</html>", b"{}", b"[]", b'{"id": "x"}', b"3"])
def test_what_is_no_hub_is_refused(server: HubServer, pull_it: Puller, body: bytes) -> None:
    server.nonsense = body
    with pytest.raises(HubRefused, match=server.url):
        pull_it()


def test_nobody_is_there() -> None:
    with pytest.raises(HubUnreachable, match=r"127\.0\.0\.1:9"):
        Hub("http://127.0.0.1:9").listing(REPOSITORY, "main")
