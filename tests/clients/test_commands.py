"""The command `primase` against a scripted server."""

import json
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import click
import grpc
import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from primase import commands
from primase.commands import main
from primase.esm2.v1 import esm2_service_pb2 as esm2_pb2
from primase.tensors import row_slices
from primase.type.v1.tensor_pb2 import DATA_TYPE_FLOAT16
from tests.clients.scripted import ScriptedEsm2, abort, bad_request, serving, status

INVALID = grpc.StatusCode.INVALID_ARGUMENT
FASTA = ">a first\nMK\n>bad\nM1\n>c\nMKT\nV\n"


def refusal(item_index: int) -> Any:
    violation = (f"items[{item_index}].sequence", "'1' at position 1", "INVALID_SEQUENCE")
    return status(INVALID, "INVALID_SEQUENCE", "bad", bad_request(violation))


def encodings(request: Any, context: Any) -> Iterator[esm2_pb2.StreamEncodeResponse]:
    """Of a sequence of L residues: mean and bos [2] of L, contacts [L, L] of L."""
    for i, item in enumerate(request.items):
        length = len(item.sequence)
        if "1" in item.sequence:
            yield esm2_pb2.StreamEncodeResponse(item_index=i, failed=refusal(i))
            continue
        arrays = {
            esm2_pb2.INCLUDE_MEAN: np.full([2], length),
            esm2_pb2.INCLUDE_BOS: np.full([2], -length),
            esm2_pb2.INCLUDE_CONTACTS: np.full([length, length], length),
        }
        slices = [
            esm2_pb2.EncodingSlice(kind=kind, layer=0 if array.ndim == 2 else 6, slice=piece)
            for kind, array in arrays.items()
            if kind in request.options.include
            for piece in row_slices(array, request.options.output_data_type)
        ]
        rows = esm2_pb2.EncodingRows(slices=slices, num_residues=length, last=True)
        yield esm2_pb2.StreamEncodeResponse(item_index=i, rows=rows)


def candidates(request: Any, context: Any) -> esm2_pb2.PredictResponse:
    """A at 0.75 and L at 0.25 behind the first residue; sequences with 1 in them are refused."""
    bad = [i for i, item in enumerate(request.items) if "1" in item.sequence]
    if bad:
        abort(context, refusal(bad[0]))
    both = [
        esm2_pb2.Candidate(residue="A", probability=0.75),
        esm2_pb2.Candidate(residue="L", probability=0.25),
    ]
    mask = esm2_pb2.MaskPrediction(position=1, candidates=both[: request.num_candidates])
    return esm2_pb2.PredictResponse(
        predictions=[
            esm2_pb2.Prediction(item_index=i, masks=[mask]) for i, _ in enumerate(request.items)
        ]
    )


@pytest.fixture
def fasta(tmp_path: Path) -> Path:
    path = tmp_path / "in.fasta"
    path.write_text(FASTA)
    return path


def primase(*args: object, stdin: str | None = None) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args], input=stdin)


def encode(fasta: Path, output: Path, *args: object) -> tuple[Result, ScriptedEsm2]:
    """Run `primase encode` against `encodings`."""
    service = ScriptedEsm2(encodings)
    with serving(esm2=service) as target:
        given = ("--server", target, "--model", "m", "-o", output, *args)
        return primase("encode", fasta, *given), service


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_npz(fasta: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.npz"
    result, _ = encode(fasta, output, "--include", "mean,bos,contacts")
    arrays = np.load(output)

    assert sorted(arrays) == ["bos/6", "contacts/0", "contacts/2", "errors", "ids", "mean/6"]
    assert arrays["ids"].tolist() == ["a", "bad", "c"]
    assert arrays["errors"].tolist() == ["", "'1' at position 1", ""]
    nan = float("nan")
    np.testing.assert_array_equal(arrays["mean/6"], [[2, 2], [nan, nan], [4, 4]])
    np.testing.assert_array_equal(arrays["bos/6"], [[-2, -2], [nan, nan], [-4, -4]])
    assert arrays["mean/6"].dtype == np.float32
    assert arrays["contacts/2"].tolist() == np.full([4, 4], 4).tolist()
    assert result.exit_code == 1
    assert files(tmp_path) == ["in.fasta", "out.npz"]


def test_records_that_failed_are_named_and_counted(fasta: Path, tmp_path: Path) -> None:
    result, _ = encode(fasta, tmp_path / "out.npz")

    assert result.stderr == "bad: '1' at position 1\n1 failed\n"
    assert result.stdout == ""
    assert result.exit_code == 1


def test_the_status_is_zero_where_all_went_well(tmp_path: Path) -> None:
    path = tmp_path / "in.fasta"
    path.write_text(">a\nMK\n")
    result, _ = encode(path, tmp_path / "out.npz")

    assert (result.exit_code, result.output) == (0, "")


def test_failures_before_and_after_all_others_have_rows(tmp_path: Path) -> None:
    path = tmp_path / "in.fasta"
    path.write_text(">x\n1\n>a\nMK\n>y\n1\n>z\n1\n")
    encode(path, tmp_path / "out.npz")
    arrays = np.load(tmp_path / "out.npz")

    assert arrays["mean/6"].shape == (4, 2)
    assert np.isnan(arrays["mean/6"][:, 0]).tolist() == [True, False, True, True]


def test_failures_alone_leave_no_arrays(tmp_path: Path) -> None:
    path = tmp_path / "in.fasta"
    path.write_text(">x\n1\n")
    for name in ("out.npz", "out.parquet", "out.tsv"):
        result, _ = encode(path, tmp_path / name)
        assert result.exit_code == 1

    assert sorted(np.load(tmp_path / "out.npz")) == ["errors", "ids"]
    assert pq.read_table(tmp_path / "out.parquet").column_names == ["id", "error", "num_residues"]
    assert (tmp_path / "out.tsv").read_text() == "id\toutput\tvalues\n"


def test_parquet(fasta: Path, tmp_path: Path) -> None:
    encode(fasta, tmp_path / "out.parquet", "--include", "mean,contacts")

    assert pq.read_table(tmp_path / "out.parquet").to_pylist() == [
        {"id": "a", "error": None, "num_residues": 2, "mean/6": [2, 2], "contacts": [2] * 4},
        {
            "id": "bad",
            "error": "'1' at position 1",
            "num_residues": None,
            "mean/6": None,
            "contacts": None,
        },
        {"id": "c", "error": None, "num_residues": 4, "mean/6": [4, 4], "contacts": [4] * 16},
    ]


def test_parquet_of_several_row_groups(
    fasta: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("primase.cli.parquet_file.ROW_GROUP_BYTES", 1)
    encode(fasta, tmp_path / "out.parquet")

    file = pq.ParquetFile(tmp_path / "out.parquet")
    assert file.num_row_groups == 3
    assert file.read()["id"].to_pylist() == ["a", "bad", "c"]


def test_tsv(fasta: Path, tmp_path: Path) -> None:
    encode(fasta, tmp_path / "out.tsv", "--include", "mean,bos")

    assert (tmp_path / "out.tsv").read_text().splitlines() == [
        "id\toutput\tvalues",
        "a\tmean/6\t2.0\t2.0",
        "a\tbos/6\t-2.0\t-2.0",
        "c\tmean/6\t4.0\t4.0",
        "c\tbos/6\t-4.0\t-4.0",
    ]


def test_options_reach_the_server(fasta: Path, tmp_path: Path) -> None:
    options = ("--layers", "-1,0", "--include", "attention_maps", "--heads", "5/19,0/1")
    _, service = encode(fasta, tmp_path / "out.npz", *options, "--dtype", "float16")

    heads = [
        esm2_pb2.AttentionHead(layer=5, head=19),
        esm2_pb2.AttentionHead(layer=0, head=1),
    ]
    assert service.requests[0].options == esm2_pb2.EncodeOptions(
        repr_layers=[-1, 0],
        include=[esm2_pb2.INCLUDE_ATTENTION_MAPS],
        attention_heads=heads,
        output_data_type=DATA_TYPE_FLOAT16,
    )


def test_fasta_from_stdin_and_options_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(esm2=ScriptedEsm2(encodings)) as target:
        monkeypatch.setenv("PRIMASE_SERVER", target)
        monkeypatch.setenv("PRIMASE_MODEL", "m")
        monkeypatch.setenv("PRIMASE_ENCODE_INCLUDE", "bos")
        result = primase("encode", "-", "-o", tmp_path / "out.npz", stdin=">a\nMK\n")

    assert result.exit_code == 0
    assert sorted(np.load(tmp_path / "out.npz")) == ["bos/6", "errors", "ids"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("-o", "out.txt"), "'out.txt' ends in none of .npz, .parquet, .tsv"),
        (("-o", "out.tsv", "--include", "mean,contacts"), ".tsv holds no contacts"),
        (("-o", "out.npz", "--include", "means"), "'means' is none of mean, per_token"),
        (("-o", "out.npz", "--layers", "last"), "'last' is no layer number"),
        (("-o", "out.npz", "--heads", "5-19"), "'5-19' is not LAYER/HEAD"),
        (("-o", "out.npz", "--cert-file", "in.fasta"), "cert_file and key_file go together"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_read(
    args: tuple[str, ...], message: str, fasta: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(fasta.parent)
    result = primase("encode", fasta, "--model", "m", "--server", "localhost:1", *args)

    assert message in result.stderr
    assert result.exit_code == 2
    assert files(fasta.parent) == ["in.fasta"]


def test_parquet_without_pyarrow_says_what_to_install(
    fasta: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    result = primase("encode", fasta, "--model", "m", "-o", fasta.parent / "out.parquet")

    assert "pip install 'primase[parquet]'" in result.stderr
    assert result.exit_code == 2


def test_a_file_that_is_not_fasta_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "in.fasta"
    path.write_text(">a\nMK\n>b\n>c\nMK\n")
    result, _ = encode(path, tmp_path / "out.npz")

    assert result.stderr == "Error: line 3: 'b' has no sequence\n"
    assert result.exit_code == 1
    assert files(tmp_path) == ["in.fasta"]


def test_a_call_that_fails_leaves_the_old_file(fasta: Path, tmp_path: Path) -> None:
    def refuse(request: Any, context: Any) -> Any:
        abort(context, status(grpc.StatusCode.NOT_FOUND, "UNKNOWN_MODEL", "no such model"))

    (tmp_path / "out.npz").write_text("old")
    with serving(esm2=ScriptedEsm2(refuse)) as target:
        given = ("--server", target, "--model", "m", "-o", tmp_path / "out.npz")
        result = primase("encode", fasta, *given)

    assert result.stderr == "Error: no such model\n"
    assert result.exit_code == 1
    assert (tmp_path / "out.npz").read_text() == "old"
    assert files(tmp_path) == ["in.fasta", "out.npz"]


def predict(fasta: Path, *args: object) -> Result:
    with serving(esm2=ScriptedEsm2(candidates)) as target:
        return primase("predict", fasta, "--server", target, "--model", "m", *args)


def test_predictions_on_stdout(fasta: Path) -> None:
    result = predict(fasta)

    assert result.stdout.splitlines() == [
        "id\tposition\trank\tresidue\tprobability",
        "a\t1\t1\tA\t0.75",
        "a\t1\t2\tL\t0.25",
        "c\t1\t1\tA\t0.75",
        "c\t1\t2\tL\t0.25",
    ]
    assert result.stderr == "bad: '1' at position 1\n1 failed\n"
    assert result.exit_code == 1


def test_predictions_as_json_lines(fasta: Path, tmp_path: Path) -> None:
    predict(fasta, "-o", tmp_path / "out.jsonl", "--candidates", 1)
    lines = (tmp_path / "out.jsonl").read_text().splitlines()

    masks = [{"position": 1, "candidates": [{"residue": "A", "probability": 0.75}]}]
    assert [json.loads(line) for line in lines] == [
        {"id": "a", "masks": masks},
        {"id": "bad", "error": "'1' at position 1"},
        {"id": "c", "masks": masks},
    ]


def test_predictions_as_tsv(fasta: Path, tmp_path: Path) -> None:
    result = predict(fasta, "-o", tmp_path / "out.tsv", "--candidates", 1)

    assert len((tmp_path / "out.tsv").read_text().splitlines()) == 3
    assert result.stdout == ""


def test_predictions_know_three_forms(fasta: Path) -> None:
    result = predict(fasta, "-o", "out.csv")

    assert "'out.csv' ends in none of .tsv, .jsonl, .parquet" in result.stderr
    assert result.exit_code == 2


def test_other_dists_add_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    added = EntryPoint("hello", "tests.clients.test_commands:hello", "primase.commands")
    monkeypatch.setattr(commands, "entry_points", lambda group: [added])

    assert primase("hello").output == "hello\n"
    listed = primase("--help").output
    assert all(name in listed for name in ("encode", "hello", "predict"))
    assert primase("goodbye").exit_code == 2


@click.command()
def hello() -> None:
    """Say hello."""
    click.echo("hello")
