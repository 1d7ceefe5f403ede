"""`primase keys`, as an operator uses it."""

from pathlib import Path

from click.testing import CliRunner, Result

from primase.commands import main
from primase_server.access.caller import Caller
from primase_server.access.keys import Keys


def run(*arguments: str, path: Path) -> Result:
    return CliRunner().invoke(main, ["keys", *arguments], env={"PRIMASE_KEYS_FILE": str(path)})


def test_the_key_is_printed_once_and_works(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    made = run("new", "--name", "lab", path=path)
    assert made.exit_code == 0, made.output
    caller = Keys(path).find(made.output.strip())
    assert caller == Caller("lab", frozenset({"infer"}))
    assert made.output.strip() not in path.read_text()


def test_the_list_tells_no_secret(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    run("new", "--name", "lab", path=path)
    run("new", "--name", "ops", "--scope", "admin", path=path)
    quotas = ("--tokens-per-minute", "600", "--concurrent-tokens=50")
    run("new", "--name", "few", *quotas, path=path)
    assert run("list", path=path).output.splitlines() == [
        "lab\tinfer",
        "ops\tadmin",
        "few\tinfer\ttokens_per_minute=600\tconcurrent_tokens=50",
    ]


def test_a_key_is_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    key = run("new", "--name", "lab", path=path).output.strip()
    other = run("new", "--name", "ops", path=path).output.strip()
    assert run("remove", "lab", path=path).exit_code == 0
    keys = Keys(path)
    assert keys.find(key) is None
    assert keys.find(other) is not None


def test_what_cannot_be_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    run("new", "--name", "lab", path=path)
    for arguments, why in (
        (("new", "--name", "lab"), "there is a key 'lab' already"),
        (("new", "--name", "a b"), "name must be 1 to 64"),
        (("new", "--name", "b", "--scope", "root"), "'root' is not one of"),
        (("remove", "other"), "there is no key 'other'"),
    ):
        refused = run(*arguments, path=path)
        assert refused.exit_code != 0
        assert why in refused.output
    assert "No such file" in run("list", path=tmp_path / "none").output
