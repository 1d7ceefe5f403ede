"""`primase variants` with a model of DNA, against a scripted server."""

import json
from pathlib import Path
from typing import Any

import grpc
import pyarrow.parquet as pq
import pytest

from primase.evo2.v1 import evo2_service_pb2 as pb
from tests.clients.cli.answers import EveryAnswer, primase
from tests.clients.cli.dna import cells, variants
from tests.clients.dna_answers import RECIPE, EveryDnaAnswer, variant_scores
from tests.clients.scripted import ScriptedEvo2, abort, serving, status

HEADER = (
    "id\tposition\tref\talt\tdelta_mean_log_likelihood\tdelta_sum_log_likelihood\t"
    "reference_mean_log_likelihood\tvariant_mean_log_likelihood"
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("one.fa").write_text(">region\nACGTACGT\n")
    Path("two.fa").write_text(">p\nACGT\n>q\nTTTT\n")
    return tmp_path


def test_scores_of_every_kind_of_variant(folder: Path) -> None:
    Path("in.csv").write_text("pos,ref,alt\n1,C,T\n2,GT,-\n4,,TT\n")
    service = EveryDnaAnswer()
    options = ("--window-bases", "64", "--strand", "both")
    result = variants("one.fa", "--variants", "in.csv", *options, service=service)

    assert result.stdout.splitlines() == [
        f"{HEADER}\trecipe",
        f"region\t1\tC\tT\t-1.0\t-2.0\t-1.0\t-2.0\t{RECIPE}",
        f"region\t2\tGT\t\t-2.0\t-4.0\t-1.0\t-3.0\t{RECIPE}",
        f"region\t4\t\tTT\t-4.0\t-8.0\t-1.0\t-5.0\t{RECIPE}",
    ]
    assert (result.stderr, result.exit_code) == ("", 0)
    (request,) = service.requests
    assert (request.window_bases, request.strand) == (64, pb.STRAND_BOTH)
    assert [(v.position, v.ref, v.alt) for v in request.items[0].variants] == [
        (1, "C", "T"),
        (2, "GT", ""),
        (4, "", "TT"),
    ]


def test_measured_numbers_and_labels(folder: Path) -> None:
    Path("in.csv").write_text(
        "position,ref,alt,score,class\n"
        "0,A,C,3,FUNC\n1,C,T,,LOF\n2,G,A,2,\n3,T,A,1,LOF\n4,A,C,0,INT\n4,A,G,0,LOF\n"
    )
    labels = ("--label-column", "class", "--positive", "LOF")
    files = ("-o", "out.parquet", "--report", "report.json")
    result = variants("one.fa", "--variants", "in.csv", *labels, *files)

    rows = pq.read_table("out.parquet").to_pylist()
    assert [(row["measured"], row["label"]) for row in rows] == [
        *((3, "FUNC"), (None, "LOF"), (2, None)),
        *((1, "LOF"), (0, "INT"), (0, "LOF")),
    ]
    # Scores are 0, -1, -2, -3, -4, -4. LOF -1 beats 0, -3 beats 0, -4 beats 0 and ties with -4.
    expected = {
        "model": "evo2-7b",
        "window_bases": 8192,
        "strand": "forward",
        "references": [
            {
                "id": "region",
                "num_variants": 6,
                "num_failed": 0,
                "recipe": RECIPE,
                "num_measured": 5,
                "spearman": pytest.approx(1),
                "positive": ["LOF"],
                "num_positive": 3,
                "num_negative": 2,
                "auroc": pytest.approx(3.5 / 6),
                "auroc_interval": [pytest.approx(0.0, abs=0.4), pytest.approx(1.0, abs=0.2)],
            }
        ],
    }
    assert json.loads(Path("report.json").read_text()) == expected
    spearman, area = result.stderr.splitlines()
    assert spearman == "region: Spearman 1.000 over 5 variants"
    assert area.startswith("region: AUROC 0.583 (95 %: ")
    assert area.endswith(") of low scores for LOF, 3 variants against 2")


def test_what_is_too_large_for_the_server_goes_in_parts(folder: Path) -> None:
    def at_most_one(request: Any, context: Any) -> Any:
        if sum(len(item.variants) for item in request.items) > 1:
            too_large = grpc.StatusCode.RESOURCE_EXHAUSTED
            abort(context, status(too_large, "REQUEST_TOO_LARGE", "too much"), -1)
        return variant_scores(request, context)

    Path("in.csv").write_text("pos,ref,alt\n0,A,C\n1,C,T\n2,G,A\n")
    result = variants("one.fa", "--variants", "in.csv", service=ScriptedEvo2(at_most_one))

    assert result.exit_code == 0, result.stderr
    assert cells(result, 1, 4) == [("0", "0.0"), ("1", "-1.0"), ("2", "-2.0")]


@pytest.mark.parametrize(
    ("name", "text", "args", "message"),
    [
        ("in.csv", "pos,ref,alt\n", (), "variants of DNA need INPUT"),
        ("in.csv", "ref,alt\nA,C\n", ("one.fa",), "no column 'position' or 'pos'"),
        ("in.csv", "pos,position,ref,alt\n1,1,A,C\n", ("one.fa",), "more than one column"),
        ("in.csv", "pos,ref\n1,A\n", ("one.fa",), "no column 'alt'"),
        ("in.csv", "pos,ref,alt\n1,A,C\n", ("two.fa",), "no column 'id'"),
        ("in.csv", "pos,ref,alt\n", ("one.fa", "--method", "masked_marginal"), "of ESM-2"),
        ("in.csv", "pos,ref,alt\n", ("one.fa", "--scan"), "--scan is for models of ESM-2"),
        ("in.csv", "pos,ref,alt\n", ("one.fa", "--positive", "LOF"), "go together"),
        ("in.csv", "pos,ref,alt\n1,A,C\n", ("one.fa", "--report", "r"), "or labels"),
        ("in.vcf", "chr1\t5\n", ("one.fa",), "line 1: no header that begins with #CHROM"),
        ("in.vcf", "#CHROM\tPOS\tID\tREF\tALT\nchr1 5\n", ("one.fa",), "line 2: 1 cells"),
        ("in.vcf", "", ("one.fa", "--score-column", "x"), "VCF has neither measured"),
    ],
)
def test_what_makes_no_sense_is_refused(
    folder: Path, name: str, text: str, args: tuple[str, ...], message: str
) -> None:
    Path(name).write_text(text)
    result = variants(*args, "--variants", name, "-o", "out.tsv")

    assert message in result.stderr
    assert result.exit_code in (1, 2)
    assert not list(folder.glob("out.tsv*"))


def test_options_of_dna_are_refused_with_proteins(folder: Path) -> None:
    Path("in.csv").write_text("mutant\nM1A\n")
    with serving(esm2=EveryAnswer()) as target:
        given = ("--server", target, "--model", "esm2-8m", "--offset", "5")
        result = primase("variants", "one.fa", "--variants", "in.csv", *given)

    assert "--offset is for models of Evo 2, and 'esm2-8m' is one of ESM-2" in result.stderr
