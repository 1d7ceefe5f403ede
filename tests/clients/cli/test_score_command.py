"""`primase score` against a scripted server."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import Result

from primase.esm2.v1 import esm2_service_pb2 as pb
from tests.clients.cli.answers import EveryAnswer, primase
from tests.clients.scripted import serving

HEADER = "id\tnum_scored_residues\tsum_log_likelihood\tmean_log_likelihood\tperplexity"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.fasta"
    path.write_text(">a\nMK\n>bad\nM1\n>c\nMKTV\n")
    return path


def score(source: Path, *args: object) -> tuple[Result, EveryAnswer]:
    service = EveryAnswer()
    with serving(esm2=service) as target:
        return primase("score", source, "--server", target, "--model", "m", *args), service


def test_scores_on_stdout(source: Path) -> None:
    result, service = score(source)

    assert result.stdout.splitlines() == [
        HEADER,
        "a\t2\t-1.0\t-0.5\t1.5",
        "c\t4\t-2.0\t-0.5\t1.5",
    ]
    assert result.stderr == "bad: '1' is no residue\n1 failed\n"
    assert result.exit_code == 1
    assert service.requests[0].mode == pb.SCORE_MODE_PSEUDO


def test_residues_on_their_own(source: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.tsv"
    _, service = score(source, "--mode", "one_pass", "--per-residue", "-o", output)

    assert output.read_text().splitlines()[:2] == [
        f"{HEADER}\tper_residue",
        "a\t2\t-1.0\t-0.5\t1.5\t-0.5,-0.5",
    ]
    assert service.requests[0].mode == pb.SCORE_MODE_ONE_PASS


def test_json_lines_name_what_failed(source: Path, tmp_path: Path) -> None:
    score(source, "--per-residue", "-o", tmp_path / "out.jsonl")
    first, bad, _ = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())

    assert first == {
        "id": "a",
        "num_scored_residues": 2,
        "sum_log_likelihood": -1,
        "mean_log_likelihood": -0.5,
        "perplexity": 1.5,
        "per_residue": [-0.5, -0.5],
    }
    assert bad == {"id": "bad", "error": "'1' is no residue"}


def test_parquet(source: Path, tmp_path: Path) -> None:
    score(source, "--per-residue", "-o", tmp_path / "out.parquet")
    table = pq.read_table(tmp_path / "out.parquet")

    assert table.column_names == [*HEADER.split("\t"), "per_residue"]
    assert table["id"].to_pylist() == ["a", "c"]
    assert table["num_scored_residues"].to_pylist() == [2, 4]
    assert table["per_residue"].to_pylist() == [[-0.5] * 2, [-0.5] * 4]


def test_csv_with_columns_of_any_name(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text("name,note,protein\na,x,MK\nempty,,\nbad,,M1\n")
    given = ("--id-column", "name", "--sequence-column", "protein")
    result, service = score(path, *given)

    assert service.sequences() == ["MK", "", "M1"]
    assert [line.split("\t")[0] for line in result.stdout.splitlines()] == ["id", "a", "empty"]


def test_csv_from_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRIMASE_SCORE_INPUT_FORMAT", "csv")
    with serving(esm2=EveryAnswer()) as target:
        given = ("--server", target, "--model", "m")
        result = primase("score", "-", *given, stdin="id,sequence\na,MK\n")

    assert result.stdout.splitlines()[1] == "a\t2\t-1.0\t-0.5\t1.5"
    assert (result.exit_code, result.stderr) == (0, "")


def test_csv_without_the_column_says_so(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text("name,sequence\na,MK\n")
    result, _ = score(path, "-o", tmp_path / "out.tsv")

    assert result.stderr == "Error: line 1: no column 'id' among 'name', 'sequence'\n"
    assert result.exit_code == 1
    assert [p.name for p in tmp_path.iterdir()] == ["in.csv"]
