import sys
from pathlib import Path

import pytest

from tests.clients.cli.answers import EveryAnswer, primase
from tests.clients.scripted import serving


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.fasta"
    path.write_text(">a\nMK\n")
    return path


def refusal(*args: object, model: str = "m", stdin: str | None = None) -> str:
    """What is said of options that make no sense."""
    with serving(esm2=EveryAnswer()) as target:
        result = primase(*args, "--server", target, "--model", model, stdin=stdin)
    assert result.exit_code == 2, result.output
    return result.stderr.splitlines()[-1]


def test_the_output_is_a_folder_of_parquet(source: Path, tmp_path: Path) -> None:
    assert refusal("score", source, "--bulk") == "Error: --bulk needs --output"
    said = refusal("encode", source, "--bulk", "-o", tmp_path / "out.npz")
    assert said == "Error: 'out.npz' does not end in .parquet, as a folder of --bulk does"
    folder = tmp_path / "out.parquet"
    folder.mkdir()
    assert refusal("encode", source, "-o", folder) == f"Error: {folder} is a folder"


def test_the_input_is_a_fasta_file(tmp_path: Path) -> None:
    said = "Error: --bulk reads a FASTA file, plain or packed by gzip"
    given = ("--bulk", "-o", tmp_path / "out.parquet")
    assert refusal("encode", "-", *given, stdin=">a\nMK\n") == said
    (tmp_path / "in.csv").write_text("id,sequence\na,MK\n")
    assert refusal("score", tmp_path / "in.csv", *given) == said
    said = refusal("generate", "--prompt", "AC", *given, model="evo2-m")
    assert said == "Error: --bulk needs INPUT"


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--bulk-workers", 2),
        ("--bulk-records", 9),
        ("--bulk-patience-s", 1),
        ("--ray-address", "head:6379"),
    ],
)
def test_its_options_mean_nothing_without_it(
    source: Path, tmp_path: Path, option: str, value: object
) -> None:
    given = ("-o", tmp_path / "out.tsv", option, value)
    assert refusal("score", source, *given) == f"Error: {option} needs --bulk"


@pytest.mark.parametrize("missing", ["ray", "pyarrow"])
def test_without_ray_it_says_what_to_install(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    said = refusal("score", source, "--bulk", "-o", tmp_path / "out.parquet")
    assert said == "Error: --bulk needs Ray: pip install 'primase[bulk]'"


def test_help_comes_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    for command in ("encode", "score", "generate"):
        shown = primase(command, "--help")
        assert shown.exit_code == 0
        assert "--bulk-workers" in shown.stdout
