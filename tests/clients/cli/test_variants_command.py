"""`primase variants` against a scripted server that scores a variant by its position."""

import json
from pathlib import Path
from typing import Any

import grpc
import pyarrow.parquet as pq
import pytest
from click.testing import Result

from primase.esm2.v1 import esm2_service_pb2 as pb
from tests.clients.cli.answers import EveryAnswer, primase, variant_scores
from tests.clients.scripted import ScriptedEsm2, abort, serving, status


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("one.fasta").write_text(">wt\nMKTV\n")
    Path("two.fasta").write_text(">p\nMKTV\n>q\nACDE\n")
    return tmp_path


def variants(*args: object, service: ScriptedEsm2 | None = None) -> Result:
    with serving(esm2=service or EveryAnswer()) as target:
        return primase("variants", "--server", target, "--model", "m", *args)


def test_scores_beside_what_was_measured(folder: Path) -> None:
    Path("in.csv").write_text("mutant,score\nM1A,30\nK2A,\nT3A,20\nV4A,10\n")
    given = ("-o", "out.tsv", "--report", "report.json")
    result = variants("one.fasta", "--variants", "in.csv", *given)

    assert Path("out.tsv").read_text().splitlines() == [
        "id\tvariant\tscore\tmeasured",
        "wt\tM1A\t1.0\t30.0",
        "wt\tK2A\t2.0\t",
        "wt\tT3A\t3.0\t20.0",
        "wt\tV4A\t4.0\t10.0",
    ]
    assert result.stderr == "wt: Spearman -1.000 over 3 variants\n"
    assert json.loads(Path("report.json").read_text()) == {
        "model": "m",
        "method": "masked_marginal",
        "multi_mutant": "wildtype_fill",
        "wild_types": [
            {
                "id": "wt",
                "num_variants": 4,
                "num_failed": 0,
                "num_measured": 3,
                "spearman": pytest.approx(-1),
            }
        ],
    }
    assert result.exit_code == 0


def test_labels_of_proteins(folder: Path) -> None:
    Path("in.csv").write_text("mutant,kind\nM1A,bad\nK2A,bad\nT3A,good\nV4A,\nV4C,dire\n")
    given = ("--label-column", "kind", "--positive", "bad, dire", "-o", "out.tsv")
    result = variants("one.fasta", "--variants", "in.csv", *given, "--report", "report.json")

    assert Path("out.tsv").read_text().splitlines()[0] == "id\tvariant\tscore\tlabel"
    # Scores are positions: 1 and 2 are below the 3 of the good one, 4 is not.
    (found,) = json.loads(Path("report.json").read_text())["wild_types"]
    assert found == {
        "id": "wt",
        "num_variants": 5,
        "num_failed": 0,
        "positive": ["bad", "dire"],
        "num_positive": 3,
        "num_negative": 1,
        "auroc": pytest.approx(2 / 3),
        "auroc_interval": [pytest.approx(0, abs=0.1), 1],
    }
    assert result.stderr.startswith("wt: AUROC 0.667 (95 %: 0.000 to 1.000) of low scores for bad")


def test_a_label_that_nothing_has_leaves_no_area(folder: Path) -> None:
    Path("in.csv").write_text("mutant,kind\nM1A,good\n")
    given = ("--label-column", "kind", "--positive", "bad")
    result = variants("one.fasta", "--variants", "in.csv", *given)

    area = "wt: AUROC not defined of low scores for bad, 0 variants against 1\n"
    assert result.stderr == area


def test_options_reach_the_server(folder: Path) -> None:
    Path("in.csv").write_text("mutant\nM1A\n")
    service = EveryAnswer()
    methods = ("--method", "wildtype_marginal", "--multi-mutant", "mask_all")
    result = variants("one.fasta", "--variants", "in.csv", *methods, service=service)

    (request,) = service.requests
    assert request.method == pb.VARIANT_METHOD_WILDTYPE_MARGINAL
    assert request.multi_mutant == pb.MULTI_MUTANT_MASK_ALL
    assert result.stdout.splitlines() == ["id\tvariant\tscore", "wt\tM1A\t1.0"]
    assert result.stderr == ""


def test_bad_variants_fail_alone(folder: Path) -> None:
    Path("in.csv").write_text("mutant,score\nX1A,1\nM1A,1\nM1X,2\nK2A,5\n")
    result = variants("one.fasta", "--variants", "in.csv", "-o", "out.jsonl")

    lines = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert lines == [
        {"id": "wt", "variant": "X1A", "error": "'1' is no residue"},
        {"id": "wt", "variant": "M1A", "score": 1, "measured": 1},
        {"id": "wt", "variant": "M1X", "error": "'1' is no residue"},
        {"id": "wt", "variant": "K2A", "score": 2, "measured": 5},
    ]
    assert result.stderr.splitlines() == [
        "wt X1A: '1' is no residue",
        "wt M1X: '1' is no residue",
        "wt: Spearman 1.000 over 2 variants",
        "2 failed",
    ]
    assert result.exit_code == 1


def test_a_bad_wild_type_fails_with_all_its_variants(folder: Path) -> None:
    Path("in.csv").write_text("mutant,sequence,id\nM1A,MK1,bad\nK2A,MK1,bad\nM1A,MKT,good\n")
    result = variants("--variants", "in.csv")

    assert result.stdout.splitlines() == ["id\tvariant\tscore", "good\tM1A\t1.0"]
    assert result.stderr.splitlines() == [
        "bad M1A: '1' is no residue",
        "bad K2A: '1' is no residue",
        "2 failed",
    ]


def test_what_is_too_large_for_the_server_goes_in_parts(folder: Path) -> None:
    def at_most_two(request: Any, context: Any) -> Any:
        if sum(len(item.variants) for item in request.items) > 2:
            too_large = grpc.StatusCode.RESOURCE_EXHAUSTED
            abort(context, status(too_large, "REQUEST_TOO_LARGE", "too much"), -1)
        return variant_scores(request, context)

    Path("in.csv").write_text("mutant\n" + "".join(f"M{i}A\n" for i in range(1, 8)))
    result = variants("one.fasta", "--variants", "in.csv", service=ScriptedEsm2(at_most_two))

    assert result.exit_code == 0, result.stderr
    assert [line.split("\t")[1:] for line in result.stdout.splitlines()[1:]] == [
        [f"M{i}A", f"{i}.0"] for i in range(1, 8)
    ]


def test_several_wild_types_are_found_by_name(folder: Path) -> None:
    Path("in.csv").write_text("wt,mutation\np,M1A\np,K2A\nq,A1C\np,T3A\n")
    service = EveryAnswer()
    columns = ("--id-column", "wt", "--variant-column", "mutation")
    result = variants("two.fasta", "--variants", "in.csv", *columns, service=service)

    assert [line.split("\t")[:2] for line in result.stdout.splitlines()[1:]] == [
        ["p", "M1A"],
        ["p", "K2A"],
        ["q", "A1C"],
        ["p", "T3A"],
    ]
    items = [item for request in service.requests for item in request.items]
    assert [(item.sequence, list(item.variants)) for item in items] == [
        ("MKTV", ["M1A", "K2A"]),
        ("ACDE", ["A1C"]),
        ("MKTV", ["T3A"]),
    ]


def test_a_scan_leaves_out_the_wild_type_and_other_letters(folder: Path) -> None:
    Path("in.fasta").write_text(">wt\nCXA\n")
    result = variants("in.fasta", "--scan", "-o", "out.parquet")

    assert result.exit_code == 0
    assert pq.read_table("out.parquet").to_pylist() == [
        {"id": "wt", "variant": variant, "score": score}
        for variant, score in (
            ("C1A", 0),
            ("C1D", 2),
            ("C1E", 3),
            ("A3C", 1),
            ("A3D", 2),
            ("A3E", 3),
        )
    ]


def test_many_variants_go_in_several_queries(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("primase.cli.protein_variant_input.MAX_QUERY_VARIANTS", 3)
    Path("in.csv").write_text("mutant,score\n" + "".join(f"M{i}A,{-i}\n" for i in range(1, 8)))
    service = EveryAnswer()
    result = variants("one.fasta", "--variants", "in.csv", service=service)

    items = [item for request in service.requests for item in request.items]
    assert [len(item.variants) for item in items] == [3, 3, 1]
    assert len(result.stdout.splitlines()) == 8
    assert result.stderr == "wt: Spearman -1.000 over 7 variants\n"


@pytest.mark.parametrize(
    ("csv", "args", "message"),
    [
        ("mutant\n", ("one.fasta",), "give either --variants CSV or --scan"),
        ("mutant\n", ("--scan",), "--scan needs INPUT"),
        ("mutant\nM1A\n", ("one.fasta", "--variants", "in.csv", "--report", "r"), "was measured"),
        ("mutation\n", ("one.fasta", "--variants", "in.csv"), "no column 'mutant'"),
        ("mutant\n", ("--variants", "in.csv"), "line 1: no column 'sequence'"),
        ("mutant\n", ("two.fasta", "--variants", "in.csv"), "line 1: no column 'id'"),
        (
            "mutant\n",
            ("one.fasta", "--variants", "in.csv", "--score-column", "fit"),
            "line 1: no column 'fit'",
        ),
        ("mutant,id\nM1A,r\n", ("two.fasta", "--variants", "in.csv"), "no wild type is named 'r'"),
        (
            "mutant,score\nM1A,x\n",
            ("one.fasta", "--variants", "in.csv"),
            "'x' is no number",
        ),
        ("mutant\n", ("in.csv", "--variants", "in.csv"), "no column 'id' among 'mutant'"),
    ],
)
def test_what_makes_no_sense_is_refused(
    folder: Path, csv: str, args: tuple[str, ...], message: str
) -> None:
    Path("in.csv").write_text(csv)
    result = variants(*args, "-o", "out.tsv")

    assert message in result.stderr
    assert result.exit_code in (1, 2)
    assert not list(folder.glob("out.tsv*"))


def test_two_wild_types_of_one_name_are_refused(folder: Path) -> None:
    Path("in.fasta").write_text(">a\nMK\n>a\nMV\n")
    Path("in.csv").write_text("mutant,id\nM1A,a\n")
    result = variants("in.fasta", "--variants", "in.csv")

    assert "two wild types are named 'a'" in result.stderr
