"""From the hub to an answer with the installed command: pull, verify, serve without a network."""

import hashlib
import os
import pty
import subprocess
import termios
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

import primase
from primase.models.v1.model_service_pb2 import WEIGHTS_SOURCE_HUB
from primase_server.models.esm2.alphabet import tokenize
from primase_server.models.esm2.passes import Esm2Pass
from primase_server.models.esm2.runner import Esm2Runner
from primase_server.models.esm2.weights import load
from primase_server.models.given_weights import RandomWeights
from primase_server.models.hub.catalogue import CATALOGUE
from tests.conditions import until
from tests.e2e.server import COMMAND, FREE_PORTS, serving
from tests.hub_checkpoints import ESM2_8M, TINY, whole
from tests.hub_server import HubServer, hub_server

CHECKPOINT = "esm2_t6_8M_UR50D"
REPOSITORY = f"facebook/{CHECKPOINT}"
MODEL = "model.safetensors"
SEED = 5
SEQUENCE = "MSILVTRPSPAGEELVSRLRTLGQVAWHFPLIEFSPGQQLPQLADQLAALGESDLLFALSQHAVAFAQSQL"
PINNED = CATALOGUE["esm2-8m"].revision
NOBODY = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return whole(ESM2_8M, SEED)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    """A hub that every command started here asks, and an empty folder for what it gives."""
    with hub_server() as running:
        running.stand_ins[PINNED] = "main"
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        monkeypatch.setenv("PRIMASE_WEIGHTS_DIR", str(tmp_path / "weights"))
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the 8M is pulled to."""
    return tmp_path / "weights" / CHECKPOINT


def models(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [COMMAND, "models", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def sizes_below(root: Path) -> list[int]:
    """Sizes of the files there, less those that are moved while it looks."""
    sizes = []
    for path in root.rglob("*"):
        with suppress(FileNotFoundError):
            if path.is_file():
                sizes.append(path.stat().st_size)
    return sizes


def expected_mean() -> np.ndarray:
    """The mean embedding of the same weights, made here and never on a disk."""
    loaded = load(RandomWeights(CHECKPOINT, SEED))
    work = Esm2Pass(tokenize(SEQUENCE), repr_layers=(6,), mean=True)
    [output] = Esm2Runner(loaded.model, loaded.weights).run([work])
    assert output.mean is not None
    mean: np.ndarray = output.mean[0]
    return mean


def test_pulled_weights_are_served_without_a_network(
    hub: HubServer, files: dict[str, bytes], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = hub.add(REPOSITORY, files)
    pulled = models("pull", "esm2-8m")
    assert (pulled.returncode, pulled.stdout) == (0, "")
    assert pulled.stderr == f"esm2-8m: {folder}, revision {commit}, verified\n"
    monkeypatch.setenv("HF_ENDPOINT", NOBODY)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with (
        serving("--model", "esm2-8m=hub", "--withdraw-s=0") as server,
        primase.connect(server.target, timeout_s=60) as client,
    ):
        [result] = client.esm2("esm2-8m").encode([SEQUENCE])
        weights = client.model("esm2-8m").weights
    np.testing.assert_allclose(result.value.mean[6], expected_mean(), rtol=1e-5, atol=1e-5)
    assert (weights.source, weights.revision, weights.trained) == (WEIGHTS_SOURCE_HUB, commit, True)
    assert weights.checksum == f"sha256:{hashlib.sha256(files[MODEL]).hexdigest()}"


def test_serve_pulls_what_it_may(hub: HubServer, files: dict[str, bytes], folder: Path) -> None:
    hub.add(REPOSITORY, files)
    with serving("--model", "esm2-8m=hub", "--pull", "--withdraw-s=0"):
        assert (folder / "manifest.json").is_file()
    num_requests = len(hub.requests)
    with serving("--model", "esm2-8m=hub", "--pull", "--withdraw-s=0"):
        assert len(hub.requests) == num_requests


def test_serve_pulls_nothing_unasked(hub: HubServer, folder: Path) -> None:
    done = subprocess.run(
        [COMMAND, "serve", "--model", "esm2-8m=hub", *FREE_PORTS],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == (
        f"Error: esm2-8m is not in {folder}: "
        "run `primase models pull esm2-8m`, or serve with --pull\n"
    )
    assert hub.requests == []


def test_list_tells_what_is_here(hub: HubServer) -> None:
    commit = hub.add(REPOSITORY, whole())
    before = models("list").stdout.splitlines()
    assert before[1].split() == ["esm2-8m", CHECKPOINT, "7.5", "M", "~30", "MB", "no", PINNED]
    assert models("pull", "esm2-8m").returncode == 0
    after = models("list").stdout.splitlines()
    assert after[1].split() == ["esm2-8m", CHECKPOINT, "7.5", "M", "0", "MB", "yes", commit]
    assert after[2:] == before[2:]


def test_evo2_comes_in_parts(hub: HubServer, tmp_path: Path) -> None:
    entry = CATALOGUE["evo2-40b"]
    parts = {"evo2_40b.pt.part0": b"first half", "evo2_40b.pt.part1": b"the rest"}
    commit = hub.add(entry.repository, {**parts, "README.md": b"# Evo 2"})
    hub.stand_ins[entry.revision] = "main"
    pulled = models("pull", "evo2-40b")
    assert (pulled.returncode, pulled.stderr.endswith(f"revision {commit}, verified\n")) == (
        0,
        True,
    )
    folder = tmp_path / "weights" / "evo2_40b"
    assert {name: (folder / name).read_bytes() for name in parts} == parts
    assert models("verify").stdout == f"evo2-40b: 2 files as pulled, revision {commit}\n"
    [row] = [row for row in models("list").stdout.splitlines() if row.startswith("evo2-40b ")]
    assert row.split()[1:] == ["evo2_40b", "41,117.6", "M", "0", "MB", "yes", commit]
    (folder / "evo2_40b.pt.part1").write_bytes(b"the rexx")
    damaged = models("verify", "evo2-40b")
    assert damaged.returncode == 1
    assert "evo2_40b.pt.part1 has sha256" in damaged.stderr


def test_a_branch_stays_at_its_commit_until_told(hub: HubServer, folder: Path) -> None:
    first = hub.add(REPOSITORY, whole(seed=1))
    models("pull", "esm2-8m")
    second = hub.add(REPOSITORY, whole(seed=2))
    num_requests = len(hub.requests)
    assert f"revision {first}" in models("pull", "esm2-8m").stderr
    assert len(hub.requests) == num_requests
    assert f"revision {second}" in models("pull", "esm2-8m", "--revision", "main").stderr


def test_damage_is_named_and_repaired(hub: HubServer, folder: Path) -> None:
    files = whole()
    hub.add(REPOSITORY, files)
    models("pull", "esm2-8m")
    assert models("verify").returncode == 0
    flipped = files[MODEL][:-1] + bytes([files[MODEL][-1] ^ 1])
    (folder / MODEL).write_bytes(flipped)
    (folder / "config.json").unlink()
    checked = models("verify")
    assert checked.returncode == 1
    assert checked.stderr == (
        f"esm2-8m: {folder}: config.json cannot be read: No such file or directory; "
        f"{MODEL} has sha256 {hashlib.sha256(flipped).hexdigest()}, "
        f"not {hashlib.sha256(files[MODEL]).hexdigest()}\n"
    )
    assert models("pull", "esm2-8m").returncode == 0
    assert models("verify", "esm2-8m").returncode == 0


def test_weights_can_be_put_anywhere(hub: HubServer, tmp_path: Path) -> None:
    files = whole()
    hub.add(REPOSITORY, files)
    elsewhere = tmp_path / "elsewhere"
    assert models("pull", "esm2-8m", "--to", str(elsewhere)).returncode == 0
    assert (elsewhere / MODEL).read_bytes() == files[MODEL]
    assert models("verify", str(elsewhere)).returncode == 0
    other = models("pull", "esm2-35m", "--to", str(elsewhere))
    assert other.stderr == f"Error: {elsewhere} holds {REPOSITORY}: it stays\n"


def test_a_pull_that_was_killed_goes_on(hub: HubServer, folder: Path) -> None:
    files = whole()
    hub.add(REPOSITORY, files)
    hub.held_after = {MODEL: 150_000}
    killed = subprocess.Popen([COMMAND, "models", "pull", "esm2-8m"])
    try:
        until(lambda: any(size == 150_000 for size in sizes_below(folder.parent)))
    finally:
        killed.kill()
        killed.wait()
    assert models("list").stdout.splitlines()[1].split()[-2:] == ["no", PINNED]
    hub.held_after, hub.requests = {}, []
    assert models("pull", "esm2-8m").returncode == 0
    assert [request.range for request in hub.requested("/cdn/")] == ["bytes=150000-"]
    assert (folder / MODEL).read_bytes() == files[MODEL]


def test_a_terminal_gets_a_bar(hub: HubServer) -> None:
    hub.add(REPOSITORY, whole())
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    done = subprocess.run(
        [COMMAND, "models", "pull", "esm2-8m"], stderr=theirs, timeout=60, check=False
    )
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert done.returncode == 0
    assert "esm2-8m: 100%|" in shown


def test_weights_of_another_shape_are_not_served(hub: HubServer) -> None:
    hub.add(REPOSITORY, whole(TINY))
    models("pull", "esm2-8m")
    with (
        pytest.raises(AssertionError, match="'esm2-8m': 'failed'"),
        serving("--model", "esm2-8m=hub", "--withdraw-s=0"),
    ):
        pass


def test_what_cannot_be_pulled_says_why(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add(REPOSITORY, whole())
    unknown = models("pull", "esm3")
    assert unknown.returncode == 1
    assert unknown.stderr.startswith("Error: 'esm3' is not in the catalogue, which has esm2-8m, ")
    no_revision = models("pull", "esm2-8m", "--revision", "v9")
    assert no_revision.returncode == 1
    assert no_revision.stderr == f"Error: {REPOSITORY} at v9: the hub has no such revision\n"
    monkeypatch.setenv("PRIMASE_MODELS_PULL_REVISION", "v8")
    assert "at v8: " in models("pull", "esm2-8m").stderr
    monkeypatch.delenv("PRIMASE_MODELS_PULL_REVISION")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert models("pull", "esm2-8m").stderr == (
        f"Error: {REPOSITORY} at {PINNED}: HF_HUB_OFFLINE forbids asking the hub\n"
    )
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("HF_ENDPOINT", NOBODY)
    no_network = models("pull", "esm2-8m")
    assert no_network.returncode == 1
    assert no_network.stderr.startswith(f"Error: {REPOSITORY} at {PINNED}: {NOBODY}: ")
