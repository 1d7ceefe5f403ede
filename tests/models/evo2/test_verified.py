"""A pass is remembered for exactly what it was a pass of."""

from dataclasses import replace
from pathlib import Path

import pytest

from primase_server.models.evo2 import verified
from primase_server.models.evo2.self_test import Measured
from primase_server.models.evo2.verified import FOLDER, Circumstances, Passes

HERE = Circumstances("evo2_1b_base", "sha256:12", "NVIDIA H100", "bfloat16", "native")
MEASURED = Measured(0.5021, 0.7955)


def test_a_pass_is_found_again(tmp_path: Path) -> None:
    Passes(tmp_path).add(HERE, MEASURED)
    assert Passes(tmp_path).find(HERE) == MEASURED


@pytest.mark.parametrize("field", ["variant", "checksum", "device", "dtype", "projections"])
def test_other_circumstances_have_no_pass(tmp_path: Path, field: str) -> None:
    passes = Passes(tmp_path)
    passes.add(HERE, MEASURED)
    assert passes.find(replace(HERE, **{field: "another"})) is None


def test_other_code_has_no_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passes = Passes(tmp_path)
    passes.add(HERE, MEASURED)
    now = verified.software()
    assert set(now) == {"torch", "server", "code"}
    for name in now:
        monkeypatch.setattr(verified, "software", lambda name=name: {**now, name: "another"})
        assert passes.find(HERE) is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"measured": 1}', b'{"measured": {}}'])
def test_a_damaged_file_is_no_pass(tmp_path: Path, content: bytes) -> None:
    passes = Passes(tmp_path)
    passes.add(HERE, MEASURED)
    [path] = (tmp_path / FOLDER).iterdir()
    path.write_bytes(content)
    assert passes.find(HERE) is None


def test_a_pass_is_written_whole_or_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        Passes(tmp_path).add(HERE, MEASURED)
    assert list((tmp_path / FOLDER).iterdir()) == []
