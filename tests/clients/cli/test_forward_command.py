"""`primase forward` against a scripted server."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from primase.evo2.v1 import evo2_service_pb2 as pb
from primase.type.v1.tensor_pb2 import DATA_TYPE_BFLOAT16
from tests.clients.cli.answers import EveryAnswer, primase
from tests.clients.cli.dna import MODEL, ask
from tests.clients.dna_answers import EveryDnaAnswer, layer_values
from tests.clients.scripted import serving

LAYERS = "blocks.3,unembed"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.fasta"
    path.write_text(">a\nACGTACGT\n>bad\nA!\n>c\nACN\n")
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_every_position_as_npz(source: Path, tmp_path: Path) -> None:
    result = ask("forward", source, "--layers", LAYERS, "-o", tmp_path / "out.npz")
    arrays = np.load(tmp_path / "out.npz")

    assert sorted(arrays) == [
        *("blocks.3/0", "blocks.3/2", "errors", "ids"),
        *("unembed/0", "unembed/2"),
    ]
    assert arrays["ids"].tolist() == ["a", "bad", "c"]
    assert arrays["errors"].tolist() == ["", "this is bad", ""]
    for layer in ("blocks.3", "unembed"):
        np.testing.assert_array_equal(arrays[f"{layer}/0"], layer_values("ACGTACGT", 0))
        np.testing.assert_array_equal(arrays[f"{layer}/2"], layer_values("ACN", 0))
        assert arrays[f"{layer}/0"].dtype == np.float32
    assert result.stderr == "bad: this is bad\n1 failed\n"
    assert result.exit_code == 1
    assert names(tmp_path) == ["in.fasta", "out.npz"]


def test_every_position_as_parquet(source: Path, tmp_path: Path) -> None:
    ask("forward", source, "--layers", LAYERS, "-o", tmp_path / "out.parquet")
    rows = pq.read_table(tmp_path / "out.parquet").to_pylist()

    assert len(rows) == 8 + 1 + 3
    assert rows[5] == {
        "id": "a",
        "error": None,
        "row": 5,
        "blocks.3": [5, -5],
        "unembed": [5, -5],
    }
    assert rows[8]["error"] == "this is bad"
    assert rows[8]["row"] is rows[8]["unembed"] is None
    assert [row["row"] for row in rows[9:]] == [0, 1, 2]


def test_one_vector_for_each_sequence(source: Path, tmp_path: Path) -> None:
    pooled = ("--layers", "norm", "--pooling", "mean")
    for suffix in ("npz", "parquet", "tsv"):
        ask("forward", source, *pooled, "-o", tmp_path / f"out.{suffix}")

    nan = float("nan")
    stacked = np.load(tmp_path / "out.npz")["norm"]
    np.testing.assert_array_equal(stacked, [[8, -8], [nan, nan], [3, -3]])
    assert pq.read_table(tmp_path / "out.parquet").to_pylist() == [
        {"id": "a", "error": None, "num_other_characters": 0, "norm": [8, -8]},
        {"id": "bad", "error": "this is bad", "num_other_characters": None, "norm": None},
        {"id": "c", "error": None, "num_other_characters": 1, "norm": [3, -3]},
    ]
    assert (tmp_path / "out.tsv").read_text().splitlines() == [
        "id\toutput\tvalues",
        "a\tnorm\t8.0\t-8.0",
        "c\tnorm\t3.0\t-3.0",
    ]


def test_options_reach_the_server(source: Path, tmp_path: Path) -> None:
    service = EveryDnaAnswer()
    given = ("--layers", "norm", "--pooling", "window", "--window-bases", 128)
    more = ("--strand", "reverse_complement", "--logit-columns", "all", "--dtype", "bfloat16")
    ask("forward", source, *given, *more, "-o", tmp_path / "out.npz", service=service)

    (request,) = service.requests
    assert request.model == MODEL
    assert request.options == pb.ForwardOptions(
        layers=["norm"],
        pooling=pb.POOLING_WINDOW,
        strand=pb.STRAND_REVERSE_COMPLEMENT,
        logit_columns=pb.LOGIT_COLUMNS_ALL,
        output_data_type=DATA_TYPE_BFLOAT16,
        pooling_window_bases=128,
    )


def test_letters_are_read_as_they_are_or_in_upper_case(tmp_path: Path) -> None:
    (tmp_path / "in.fasta").write_text(">a\nACgtn\n")
    given = (tmp_path / "in.fasta", "--layers", "norm", "-o", tmp_path / "out.npz")
    service = EveryDnaAnswer()
    ask("forward", *given, service=service)
    ask("forward", *given, "--upper-case", service=service)

    assert [request.items[0].sequence for request in service.requests] == ["ACgtn", "ACGTN"]


def test_a_long_sequence_waits_on_disk(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask("forward", source, "--layers", LAYERS, "-o", tmp_path / "memory.npz")
    monkeypatch.setattr("primase.cli.row_spool.MEMORY_BYTES", 10)
    monkeypatch.setattr("primase.cli.row_spool._PIECE_BYTES", 7)
    monkeypatch.setattr("primase.cli.array_record._PIECE_BYTES", 5)
    ask("forward", source, "--layers", LAYERS, "-o", tmp_path / "disk.npz")

    assert (tmp_path / "disk.npz").read_bytes() == (tmp_path / "memory.npz").read_bytes()
    assert names(tmp_path) == ["disk.npz", "in.fasta", "memory.npz"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--layers", "norm", "-o", "out.tsv"), ".tsv holds no --pooling none"),
        (("--layers", "norm", "-o", "out.npz", "--pooling", "window"), "go together"),
        (("--layers", "norm", "-o", "out.npz", "--window-bases", "8"), "go together"),
        (("--layers", "a,,b", "-o", "out.npz"), "a layer has no name"),
        (("-o", "out.npz"), "Missing option '--layers'"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_asked(
    args: tuple[str, ...], message: str, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(source.parent)
    result = primase("forward", source, "--model", MODEL, "--server", "localhost:1", *args)

    assert message in result.stderr
    assert result.exit_code == 2
    assert names(source.parent) == ["in.fasta"]


def test_a_model_of_proteins_is_refused(source: Path, tmp_path: Path) -> None:
    with serving(esm2=EveryAnswer()) as target:
        given = ("--server", target, "--model", "esm2-8m", "-o", tmp_path / "out.npz")
        result = primase("forward", source, "--layers", "norm", *given)

    assert "'esm2-8m' is an ESM-2 model; forward is for models of Evo 2" in result.stderr
    assert result.exit_code == 2
