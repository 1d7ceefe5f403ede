"""What stands in the file of keys, and how it gets there."""

import re
import stat
import threading
from pathlib import Path

import pytest

from primase_server.access import keys_file
from primase_server.access.keys_file import KeyEntry
from primase_server.access.quotas import QuotaLimits

DIGEST = "ab" * 32
SOUND = f'[[keys]]\nname = "lab"\nsha256 = "{DIGEST}"\nscopes = ["infer"]\n'


def test_an_entry_comes_back_as_it_was_put(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    first = KeyEntry("lab", DIGEST, ("infer",))
    second = KeyEntry("ops.2", "cd" * 32, ("infer", "admin"), QuotaLimits(5, None))
    keys_file.append(path, first)
    keys_file.append(path, second)
    assert keys_file.parse(path.read_text()) == (first, second)


def test_an_entry_is_taken_out_and_all_else_stays(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    other = SOUND.replace("lab", "other").replace("ab", "cd")
    path.write_text(f"# ours\n\n{SOUND}# of the lab\n\n {other}# the last\n")
    keys_file.remove(path, "lab")
    assert path.read_text() == f"# ours\n\n {other}# the last\n"
    keys_file.remove(path, "other")
    assert keys_file.parse(path.read_text()) == ()
    with pytest.raises(ValueError, match="there is no key 'lab'"):
        keys_file.remove(path, "lab")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [found.name for found in tmp_path.iterdir()] == ["keys.toml"]


@pytest.mark.parametrize(
    "text",
    [
        'keys = [{name = "lab", SHA, scopes = ["infer"]}, {name = "ops", SHA, scopes = ["admin"]}]',
        SOUND.replace("keys", '"keys"') + SOUND.replace("keys", '"keys"').replace("lab", "ops"),
    ],
    ids=["one line", "in quotes"],
)
def test_what_is_written_otherwise_keeps_its_meaning(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(text.replace("SHA", f'sha256 = "{DIGEST}"'))
    keys_file.remove(path, "lab")
    assert [entry.name for entry in keys_file.parse(path.read_text())] == ["ops"]


def test_the_file_is_its_owners_alone_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    path.write_text("# ours\n")
    path.chmod(0o644)
    keys_file.append(path, KeyEntry("lab", DIGEST, ("infer",)))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["keys.toml"]
    assert path.read_text() == "# ours\n\n" + SOUND


def test_a_name_that_is_taken_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(SOUND)
    with pytest.raises(ValueError, match="there is a key 'lab' already"):
        keys_file.append(path, KeyEntry("lab", "cd" * 32, ("infer",)))
    assert path.read_text() == SOUND


def test_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"

    def add(index: int) -> None:
        keys_file.append(path, KeyEntry(f"k{index}", DIGEST, ("infer",)))

    threads = [threading.Thread(target=add, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    names = {entry.name for entry in keys_file.parse(path.read_text())}
    assert names == {f"k{index}" for index in range(8)}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[[keys]", "Expected"),
        ("[key]\n", "'key' means nothing here"),
        ('keys = "lab"\n', "an entry begins with"),
        ("keys = [1]\n", "an entry begins with"),
        (SOUND + SOUND, "key 'lab' is there twice"),
        (SOUND + "tokens_per_minit = 5\n", "entry 1: 'tokens_per_minit' means nothing here"),
        (SOUND + "tokens_per_minute = 0\n", "key 'lab': tokens_per_minute must be at least 1"),
        (SOUND + "concurrent_tokens = true\n", "entry 1: concurrent_tokens must be a whole"),
        (SOUND + "concurrent_tokens = 1.5\n", "entry 1: concurrent_tokens must be a whole"),
        (SOUND.replace("lab", "two words"), "name must be"),
        (SOUND.replace("lab", ""), "name must be"),
        (SOUND.replace('"lab"', "3"), "entry 1: needs a name and a sha256"),
        (SOUND.replace("infer", "all"), "key 'lab': scopes must be some of infer, admin"),
        (SOUND.replace('["infer"]', "[]"), "key 'lab': scopes must be some of"),
        (SOUND.replace('["infer"]', '"infer"'), "entry 1: scopes must be a list"),
        (SOUND.replace(DIGEST, "primase_secret"), "key 'lab': sha256 must be 64"),
    ],
)
def test_what_is_wrong_is_named_and_no_hash_with_it(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)) as refused:
        keys_file.parse(text)
    assert "secret" not in str(refused.value)


def test_an_empty_file_lets_nobody_in() -> None:
    assert keys_file.parse("") == ()


def test_no_two_keys_are_alike_and_each_has_256_random_bits() -> None:
    keys = {keys_file.new_key() for _ in range(100)}
    assert len(keys) == 100
    assert {len(key) for key in keys} == {len("primase_") + 43}
