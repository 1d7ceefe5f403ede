"""`primase scan` against a scripted server."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from primase.evo2.v1 import evo2_service_pb2 as pb
from primase.tensors import row_slices
from tests.clients.cli.dna import ask
from tests.clients.dna_answers import RECIPE, EveryDnaAnswer
from tests.clients.scripted import ScriptedEvo2


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.fasta"
    path.write_text(">a\nGGACTTGG\n>bad\nGGACTT!\n")
    return path


def test_every_substitution_of_a_region(source: Path) -> None:
    result = ask("scan", source, "--start", 102, "--end", 104, "--offset", 100)

    assert result.stdout.splitlines() == [
        "id\tposition\tbase\tA\tC\tG\tT\tmean_delta\tmin_delta\trecipe",
        f"a\t102\tA\t0.0\t{f(0.1)}\t{f(0.2)}\t{f(0.3)}\t{f(0.2)}\t0.0\t{RECIPE}",
        f"a\t103\tC\t-1.0\t0.0\t{f(-0.8)}\t{f(-0.7)}\t{f(-2.5 / 3)}\t-1.0\t{RECIPE}",
    ]
    assert result.stderr == "bad: this is bad\n1 failed\n"
    assert result.exit_code == 1


def test_what_is_not_known_is_empty(source: Path, tmp_path: Path) -> None:
    def unknown(request: Any, context: Any) -> Iterator[pb.StreamScanVariantsResponse]:
        deltas = np.array([[0, np.nan, np.nan, np.nan], [1, 0, 2, 3]])
        (rows,), (means,), (lowest,) = (
            row_slices(array) for array in (deltas, deltas.mean(axis=1), deltas.min(axis=1))
        )
        found = pb.ScanRows(deltas=rows, mean_delta=means, min_delta=lowest, last=True)
        yield pb.StreamScanVariantsResponse(item_index=0, rows=found)

    source.write_text(">a\nAC\n")
    for name in ("out.jsonl", "out.tsv"):
        ask("scan", source, "-o", tmp_path / name, service=ScriptedEvo2(unknown))

    first = json.loads((tmp_path / "out.jsonl").read_text().splitlines()[0])
    assert (first["A"], first["C"], first["min_delta"]) == (0, None, None)
    assert (tmp_path / "out.tsv").read_text().splitlines()[1] == "a\t0\tA\t0.0\t\t\t\t\t\t"


def f(number: float) -> str:
    """As float32 prints when widened."""
    return str(float(np.float32(number)))


def test_the_whole_sequence_and_options(source: Path, tmp_path: Path) -> None:
    service = EveryDnaAnswer()
    options = ("--mode", "one_pass", "--window-bases", 6, "--strand", "both")
    ask("scan", source, *options, "-o", tmp_path / "out.parquet", service=service)

    rows = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert [row["position"] for row in rows] == list(range(8))
    assert "".join(row["base"] for row in rows) == "GGACTTGG"
    (request,) = service.requests
    assert (request.mode, request.window_bases) == (pb.SCAN_MODE_ONE_PASS, 6)
    assert request.strand == pb.STRAND_BOTH


def test_no_more_of_a_reference_is_sent_than_windows_reach(tmp_path: Path) -> None:
    path = tmp_path / "in.fasta"
    path.write_text(">long\n" + "A" * 1000 + "CG" + "T" * 1000 + "\n")
    service = EveryDnaAnswer()
    region = ("--start", 1000, "--end", 1002)
    result = ask("scan", path, *region, "--window-bases", 10, service=service)

    (item,) = service.requests[0].items
    assert item == pb.ScanItem(reference="A" * 10 + "CG" + "T" * 10, start=10, end=12)
    assert [line.split("\t")[1:3] for line in result.stdout.splitlines()[1:]] == [
        ["1000", "C"],
        ["1001", "G"],
    ]


@pytest.mark.parametrize(
    "region", [("--start", "5", "--end", "5"), ("--start", "99", "--offset", "100")]
)
def test_a_region_without_a_base_is_refused(source: Path, region: tuple[str, ...]) -> None:
    result = ask("scan", source, *region)

    assert "the region has no base, or begins before INPUT does" in result.stderr
    assert result.exit_code == 2


def test_a_region_beyond_the_end_is_left_to_the_server(source: Path) -> None:
    service = EveryDnaAnswer()
    ask("scan", source, "--start", 2, "--end", 80, service=service)

    assert service.requests[0].items[0].end == 80
