"""Checkpoints of every format, damaged and made with intent: refused or harmless, and never run.

PRIMASE_FUZZ_EXAMPLES sets how many of each kind are tried.
"""

import io
import json
import os
import pickle
import tarfile
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from primase_server.models.errors import CheckpointError
from primase_server.models.esm2.weights import open_checkpoint as open_esm2
from primase_server.models.evo2.checkpoint import open_official as open_evo2
from primase_server.models.evo2.config import VARIANTS as EVO2_VARIANTS
from primase_server.models.progen2.weights import LocalWeights
from primase_server.models.progen2.weights import open_checkpoint as open_progen2
from tests.hub_checkpoints import whole
from tests.resident import watched

NUM_EXAMPLES = int(os.environ.get("PRIMASE_FUZZ_EXAMPLES", "40"))
MODELS = Path(__file__).parents[2] / "service/primase_server/models"
HEAD_BYTES = 4096
LONGEST_REFUSAL = 2000  # characters
MOST_BYTES = 256 * 1024 * 1024
MIB = 1 << 20

Files = Mapping[str, bytes]


def fixture(family: str, *names: str) -> Files:
    return {name: (MODELS / family / "fixture" / name).read_bytes() for name in names}


def hub(*names: str) -> Files:
    return {name: whole()[name] for name in names}


def archived(files: Files) -> Files:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz", compresslevel=1) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return {"progen2-fixture.tar.gz": made.getvalue()}


PROGEN2 = partial(fixture, "progen2", "pytorch_model.bin", "config.json")

# By format: its files, the damaged one first, and what opens them in a folder.
FORMATS: Mapping[str, tuple[Callable[[], Files], Callable[[Path], Any]]] = {
    "safetensors": (partial(hub, "model.safetensors", "config.json"), open_esm2),
    "its config": (partial(hub, "config.json", "model.safetensors"), open_esm2),
    "fair-esm": (
        partial(fixture, "esm2", "esm2_fixture.pt"),
        lambda folder: open_esm2(folder / "esm2_fixture.pt"),
    ),
    "Evo 2": (
        partial(fixture, "evo2", "evo2_fixture.pt"),
        lambda folder: open_evo2(folder / "evo2_fixture.pt", EVO2_VARIANTS["evo2_fixture"]),
    ),
    "torch.save": (PROGEN2, lambda folder: open_progen2(LocalWeights(folder))),
    "tar": (
        lambda: archived(PROGEN2()),
        lambda folder: open_progen2(LocalWeights(folder / "progen2-fixture.tar.gz")),
    ),
}


@cache
def files_of(name: str) -> Files:
    return FORMATS[name][0]()


def opened(name: str, changed: bytes, folder: Path) -> object:
    """The checkpoint with its first file replaced, and all its tensors read."""
    first, *others = files_of(name).items()
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (folder / first[0]).write_bytes(changed)
    for other, content in others:
        (folder / other).write_bytes(content)
    found = FORMATS[name][1](folder)
    return [tensor.sum() for tensor in found.tensors.values()]


@st.composite
def damage(draw: st.DrawFn, whole_file: bytes) -> bytes:
    """Bytes replaced, put in, left out or cut off, mostly where headers are."""
    num_bytes = len(whole_file)
    damaged = whole_file
    for _ in range(draw(st.integers(1, 4))):
        near_end = st.integers(max(0, num_bytes - HEAD_BYTES), num_bytes)
        offset = draw(st.integers(0, HEAD_BYTES) | near_end | st.integers(0, num_bytes))
        junk = draw(st.binary(max_size=16) | st.sampled_from([b"\xff" * 8, b"\0" * 8, b"["]))
        num_gone = draw(st.sampled_from([0, 1, len(junk), len(junk), num_bytes]))
        damaged = damaged[:offset] + junk + damaged[offset + num_gone :]
    return damaged


@pytest.mark.parametrize("name", FORMATS)
def test_as_it_is_it_opens(name: str, tmp_path: Path) -> None:
    assert opened(name, next(iter(files_of(name).values())), tmp_path)


@pytest.mark.parametrize("name", FORMATS)
def test_damage_is_refused_or_harmless(name: str, tmp_path: Path) -> None:
    original = next(iter(files_of(name).values()))
    refusals, transients = [""], [0]

    @settings(max_examples=NUM_EXAMPLES, suppress_health_check=[HealthCheck.too_slow])
    @given(damage(original))
    def try_it(damaged: bytes) -> None:
        with watched() as memory:
            try:
                opened(name, damaged, tmp_path)
            except CheckpointError as error:
                refusals.append(str(error))
        transients.append(memory.transient)

    try_it()
    assert max(map(len, refusals)) < LONGEST_REFUSAL
    assert max(transients) < MOST_BYTES


HOSTILE_VALUES: list[object] = [
    10**12,
    2**63,
    -1,
    0,
    1e308,
    float("inf"),
    None,
    "",
    [],
    {},
    True,
    "x" * 10**6,
]


def hostile_configs(original: bytes) -> Iterator[bytes]:
    values = json.loads(original)
    for key in values:
        for hostile in HOSTILE_VALUES:
            yield json.dumps(values | {key: hostile}).encode()


@pytest.mark.parametrize("name", ["safetensors", "torch.save"])
def test_no_number_in_a_config_is_believed(name: str, tmp_path: Path) -> None:
    files = files_of(name)
    weights, config = files
    opener, refusals = FORMATS[name][1], [""]
    (tmp_path / weights).write_bytes(files[weights])
    with watched() as memory:
        for text in hostile_configs(files[config]):
            (tmp_path / config).write_bytes(text)
            try:
                opener(tmp_path)
            except CheckpointError as error:
                refusals.append(str(error))
    assert max(map(len, refusals)) < LONGEST_REFUSAL
    assert memory.transient < MOST_BYTES


class Touch:
    """Would leave a file behind, if it were unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trace,)


def saved(content: object, *, legacy: bool = False) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=not legacy)
    return file.getvalue()


@pytest.mark.parametrize("name", ["fair-esm", "Evo 2", "torch.save", "safetensors"])
@pytest.mark.parametrize("wrapped", ["zip", "legacy", "pickle"])
def test_no_code_runs(name: str, wrapped: str, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    content = {"model": Touch(trace), "args": Touch(trace)}
    folder = tmp_path / "model"
    folder.mkdir()
    text = pickle.dumps(content) if wrapped == "pickle" else saved(content, legacy=wrapped != "zip")
    with pytest.raises(CheckpointError):
        opened(name, text, folder)
    assert not trace.exists()


def test_no_code_runs_from_an_archive(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    config = fixture("progen2", "config.json")
    [archive] = archived({"pytorch_model.bin": saved({"model": Touch(trace)}), **config}).values()
    folder = tmp_path / "model"
    folder.mkdir()
    with pytest.raises(CheckpointError):
        opened("tar", archive, folder)
    assert not trace.exists()


@pytest.mark.parametrize("declared", [2**63 - 1, 2**40, 10**8 + 1])
def test_a_header_longer_than_its_file_is_not_waited_for(declared: int, tmp_path: Path) -> None:
    with watched() as memory, pytest.raises(CheckpointError, match="cannot be read"):
        opened("safetensors", declared.to_bytes(8, "little") + b"{}", tmp_path)
    assert memory.transient < 64 * MIB
