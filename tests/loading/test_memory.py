"""What a model needs is known before anything of it is read."""

from dataclasses import replace
from pathlib import Path

import pytest

from primase_server.errors import InsufficientMemory
from primase_server.loading import memory
from primase_server.loading.memory import Need, held_bytes, need_of, require_room
from primase_server.loading.sources import configured
from primase_server.models.registry import ServedModel
from primase_server.settings import Limits, ModelSettings, Settings

SETTINGS = Settings(limits=Limits(max_batch_tokens=4096))
STEP = 16 * 4 * 4096  # bytes for each of a model's widths


def model(name: str, source: str) -> ServedModel:
    return configured(ModelSettings(name, source), SETTINGS.weights_dir)


@pytest.mark.parametrize(
    ("name", "source", "dtype", "weights_bytes", "width"),
    [
        ("esm2-650m", "random", "auto", 4 * 651_043_254, 1280),
        ("esm2-650m", "random:3", "bfloat16", 2 * 651_043_254, 1280),
        ("evo2-7b", "random", "auto", 4 * 6_581_722_880, 4096),
        ("progen2-small", "random", "float16", 2 * 151_148_576, 1024),
        ("anything", "fixture", "auto", 4 * 78_522, 32),
        ("evo2-x", "demo", "auto", 4 * 866_120, 64),
    ],
)
def test_shapes_tell_what_weights_and_a_step_take(
    name: str, source: str, dtype: str, weights_bytes: int, width: int
) -> None:
    settings = replace(SETTINGS, dtype=dtype)
    need = need_of(model(name, source), source, settings)
    assert (need.weights_bytes, need.step_bytes) == (weights_bytes, STEP * width)


def test_files_tell_it_by_their_size(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    for name in ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"):
        (folder / name).write_bytes(bytes(15_000_000))
    (folder / "pytorch_model.bin").write_bytes(bytes(20_000_000))
    (folder / "config.json").write_text("{}")
    # The same weights in another format are not read too. Of about 7.5 million numbers is ESM-2 8M.
    assert need_of(model("esm2-mine", str(folder)), str(folder), SETTINGS) == Need(
        30_000_000, STEP * 320
    )
    half = replace(SETTINGS, dtype="bfloat16")
    one = str(folder / "pytorch_model.bin")
    assert need_of(model("esm2-mine", one), one, half).weights_bytes == 10_000_000


@pytest.mark.parametrize("source", ["/nowhere/at/all", "/nul\0", "/" + "long" * 100])
def test_what_is_no_file_needs_nothing(source: str) -> None:
    assert need_of(model("esm2-mine", source), source, SETTINGS).weights_bytes == 0


def test_what_is_freed_meanwhile_counts_as_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda _: 900)
    served, need = model("esm2-mine", "fixture"), Need(900, 100)
    with pytest.raises(InsufficientMemory, match=r"0\.00 GiB is free on cpu: serve with a --dtype"):
        require_room(need, served, SETTINGS, [])
    require_room(need, served, SETTINGS, [], freed_bytes=100)
    assert held_bytes(served) == 0
