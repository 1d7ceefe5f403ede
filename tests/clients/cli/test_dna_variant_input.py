"""What `primase variants` reads of variants of DNA, and what it sends."""

import json
from pathlib import Path

import pytest

from tests.clients.cli.dna import cells, variants
from tests.clients.dna_answers import RECIPE, EveryDnaAnswer


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("one.fa").write_text(">region\nACGTACGT\n")
    Path("two.fa").write_text(">p\nACGT\n>q\nTTTT\n")
    return tmp_path


@pytest.mark.parametrize(
    ("options", "positions"),
    [
        ((), (1, 4)),
        (("--one-based",), (2, 5)),
        (("--offset", "100"), (101, 104)),
        (("--one-based", "--offset", "100"), (101, 104)),
    ],
)
def test_positions_count_as_the_options_say(
    folder: Path, options: tuple[str, ...], positions: tuple[int, int]
) -> None:
    first, second = positions
    Path("in.tsv").write_text(f"position\tref\talt\n{first}\tC\tT\n{second}\tA\tG\n")
    service = EveryDnaAnswer()
    result = variants("one.fa", "--variants", "in.tsv", *options, service=service)

    assert cells(result, 1) == [(str(first),), (str(second),)]
    assert [v.position for v in service.requests[0].items[0].variants] == [1, 4]


def test_rows_that_do_not_fit_are_named_by_their_line(folder: Path) -> None:
    Path("in.csv").write_text(
        "pos,ref,alt\n1,C,T\n1,A,T\nx,C,T\n9,C,T\n7,TA,T\n1,C,T\n2,,\n-1,C,T\n3,T,N\n4,A,T\n3,T,<DEL>\n"
    )
    result = variants("one.fa", "--variants", "in.csv", "-o", "out.jsonl")

    outside = "not inside the reference, which has positions 0 to 7"
    assert result.stderr.splitlines() == [
        "line 3, 1 A>T: the reference has 'C' there, not 'A'",
        "line 4, x C>T: 'x' is no position",
        f"line 5, 9 C>T: {outside}",
        f"line 6, 7 TA>T: {outside}",
        "line 7, 1 C>T: the same as line 2",
        "line 8, 2 ->-: neither ref nor alt",
        "line 9, -1 C>T: '-1' is no position",
        "line 10, 3 T>N: this is bad",
        "line 12, 3 T><DEL>: '<DEL>' names no bases",
        "9 failed",
    ]
    assert result.exit_code == 1
    lines = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert [(line["position"], "error" in line) for line in lines] == [
        *((1, False), (1, True), ("x", True), (9, True), (7, True), (1, True)),
        *((2, True), ("-1", True), (3, True), (4, False), (3, True)),
    ]
    assert lines[1] == {
        "id": "region",
        "position": 1,
        "ref": "A",
        "alt": "T",
        "line": 3,
        "error": "the reference has 'C' there, not 'A'",
    }
    assert lines[0]["recipe"] == lines[9]["recipe"] == RECIPE


def test_nothing_is_sent_where_no_row_fits(folder: Path) -> None:
    Path("in.csv").write_text("pos,ref,alt\n1,A,T\n2,A,T\n")
    service = EveryDnaAnswer()
    result = variants("one.fa", "--variants", "in.csv", service=service)

    assert service.requests == []
    assert result.stderr.splitlines()[-1] == "2 failed"
    assert result.exit_code == 1


def test_a_masked_reference_is_read_in_upper_case(folder: Path) -> None:
    Path("in.fa").write_text(">masked\nacgtACGT\n")
    Path("in.csv").write_text("pos,ref,alt\n1,C,T\n")
    as_it_is = variants("in.fa", "--variants", "in.csv")
    in_upper_case = variants("in.fa", "--variants", "in.csv", "--upper-case")

    hint = "the reference has 'c' there, not 'C', and --upper-case reads it"
    assert hint in as_it_is.stderr
    assert cells(in_upper_case, 0, 1) == [("masked", "1")]


def test_vcf(folder: Path) -> None:
    Path("in.vcf").write_text(
        "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\n"
        "p\t1\t.\tA\tC,G\t.\nq\t4\trs1\tT\tTA\t.\nr\t1\t.\tA\tC\t.\n"
    )
    result = variants("two.fa", "--variants", "in.vcf")

    assert cells(result, 0, 1, 2, 3, 4) == [
        ("p", "1", "A", "C", "0.0"),
        ("p", "1", "A", "G", "0.0"),
        ("q", "4", "T", "TA", "-3.0"),
    ]
    assert result.stderr.splitlines() == [
        "line 5, 1 A>C: INPUT has no reference named 'r'",
        "1 failed",
    ]


def test_vcf_of_one_region_and_its_offset(folder: Path) -> None:
    Path("in.vcf").write_text(
        "#CHROM\tPOS\tID\tREF\tALT\nchr17\t1000\t.\tA\tC\nchr18\t1001\t.\tC\tT\n"
    )
    result = variants("one.fa", "--variants", "in.vcf", "--offset", "1000")

    assert cells(result, 0, 1) == [("region", "1000")]
    assert result.stderr.splitlines() == [
        "line 3, 1001 C>T: on 'chr18', and those before it were on 'chr17'",
        "1 failed",
    ]


def test_several_references_are_found_by_name(folder: Path) -> None:
    Path("in.csv").write_text("id,pos,ref,alt\np,0,A,C\nq,0,T,C\nnone,0,A,C\np,1,C,A\n")
    service = EveryDnaAnswer()
    result = variants("two.fa", "--variants", "in.csv", service=service)

    assert cells(result, 0, 1) == [("p", "0"), ("q", "0"), ("p", "1")]
    assert "line 4, 0 A>C: INPUT has no reference named 'none'" in result.stderr
    items = [item for request in service.requests for item in request.items]
    assert [item.reference for item in items] == ["ACGT", "TTTT", "ACGT"]


def test_no_more_of_a_reference_is_sent_than_windows_reach(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("primase.cli.dna_variant_input.MAX_GROUP_SPAN_BASES", 100)
    Path("in.fa").write_text(">long\n" + "ACGT" * 250 + "\n")
    Path("in.csv").write_text("pos,ref,alt\n400,A,C\n500,A,C\n501,CGT,C\n0,A,C\n")
    service = EveryDnaAnswer()
    result = variants("in.fa", "--variants", "in.csv", "--window-bases", "8", service=service)

    items = [item for request in service.requests for item in request.items]
    assert [(len(item.reference), [v.position for v in item.variants]) for item in items] == [
        (8 + 101 + 8, [8, 108]),
        (8 + 3 + 8, [8]),
        (1 + 8, [0]),
    ]
    assert all(
        item.reference[v.position :].startswith(v.ref) for item in items for v in item.variants
    )
    assert cells(result, 1) == [("400",), ("500",), ("501",), ("0",)]


def test_groups_are_small_and_positions_stay_together(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("primase.cli.dna_variant_input.MAX_GROUP_VARIANTS", 2)
    rows = [f"{p},{ref},{alt}" for p, ref in enumerate("ACG") for alt in "ACGT" if alt != ref]
    Path("in.csv").write_text("pos,ref,alt\n" + "\n".join(rows) + "\n")
    service = EveryDnaAnswer()
    result = variants("one.fa", "--variants", "in.csv", service=service)

    items = [item for request in service.requests for item in request.items]
    assert [[v.position for v in item.variants] for item in items] == [[i] * 3 for i in range(3)]
    assert len(cells(result, 0)) == 9
