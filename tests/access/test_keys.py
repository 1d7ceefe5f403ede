"""Who is found by a key, also once the file has changed."""

import os
from pathlib import Path

import pytest
import structlog

from primase_server.access.caller import Caller
from primase_server.access.keys import RELOAD_S, Keys
from tests.access.keys import Clock, add_key


def test_a_key_names_its_caller(tmp_path: Path) -> None:
    lab, ops = add_key(tmp_path / "k", "lab"), add_key(tmp_path / "k", "ops", "admin")
    keys = Keys(tmp_path / "k")
    assert keys.find(lab) == Caller("lab", frozenset({"infer"}))
    assert keys.find(ops) == Caller("ops", frozenset({"admin"}))
    assert all(keys.find(other) is None for other in ("", lab[:-1], lab + "x", lab.upper()))


def test_a_changed_file_is_read_again_within_a_second(tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / "k"
    old = add_key(path, "old")
    keys = Keys(path, clock)
    path.unlink()
    new = add_key(path, "new")
    assert keys.find(new) is None
    clock.now_s += RELOAD_S
    assert keys.find(old) is None
    assert keys.find(new) == Caller("new", frozenset({"infer"}))


@pytest.mark.parametrize("text", [None, "[[keys]", "[[keys]]\nname = 'x'\n"])
def test_a_file_that_went_wrong_changes_nothing_and_is_told_once(
    tmp_path: Path, text: str | None
) -> None:
    clock, path = Clock(), tmp_path / "k"
    key = add_key(path, "lab")
    good = path.read_text()
    keys = Keys(path, clock)
    path.unlink() if text is None else path.write_text(text)
    with structlog.testing.capture_logs() as lines:
        for _ in range(3):
            clock.now_s += RELOAD_S
            assert keys.find(key) is not None
    assert [line["event"] for line in lines] == ["file_not_reloaded"]
    path.write_text(good)
    os.utime(path, ns=(1, 1))
    with structlog.testing.capture_logs() as lines:
        clock.now_s += RELOAD_S
        assert keys.find(key) is not None
    assert [line["event"] for line in lines] == ["file_reloaded"]


def test_a_server_does_not_start_with_a_file_that_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "k").write_text("[[keys]]\n")
    with pytest.raises(ValueError, match="k: entry 1: needs a name"):
        Keys(tmp_path / "k")
    with pytest.raises(OSError, match="No such file"):
        Keys(tmp_path / "none")
