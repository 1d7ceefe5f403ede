"""`primase score` with a model of DNA, against a scripted server."""

import gzip
import json
from pathlib import Path

import pytest

from primase.evo2.v1 import evo2_service_pb2 as pb
from tests.clients.cli.answers import EveryAnswer, primase
from tests.clients.cli.dna import ask
from tests.clients.dna_answers import EveryDnaAnswer
from tests.clients.scripted import serving

HEADER = (
    "id\tnum_scored_bases\tnum_other_characters\t"
    "sum_log_likelihood\tmean_log_likelihood\tperplexity"
)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.fasta"
    path.write_text(">a\nACGNT\n>bad\nA!\n>c\nACG\n")
    return path


def test_scores_on_stdout(source: Path) -> None:
    service = EveryDnaAnswer()
    result = ask("score", source, service=service)

    assert result.stdout.splitlines() == [
        HEADER,
        "a\t4\t1\t-2.0\t-0.5\t1.5",
        "c\t2\t0\t-1.0\t-0.5\t1.5",
    ]
    assert result.stderr == "bad: this is bad\n1 failed\n"
    assert result.exit_code == 1
    assert service.requests[0].strand == pb.STRAND_FORWARD


def test_bases_on_their_own(source: Path, tmp_path: Path) -> None:
    service = EveryDnaAnswer()
    options = ("--per-base", "--prepend-bos", "--strand", "both")
    ask("score", source, *options, "-o", tmp_path / "out.jsonl", service=service)

    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert lines[1:] == [
        {"id": "bad", "error": "this is bad"},
        {
            "id": "c",
            "num_scored_bases": 3,
            "num_other_characters": 0,
            "sum_log_likelihood": -1.5,
            "mean_log_likelihood": -0.5,
            "perplexity": 1.5,
            "per_base": [0, -0.5, -0.5],
            "entropy": [1, 1, 1],
        },
    ]
    (request,) = service.requests
    assert (request.prepend_bos, request.strand) == (True, pb.STRAND_BOTH)


def test_gzip_is_unpacked(source: Path, tmp_path: Path) -> None:
    packed = tmp_path / "in.csv.gz"
    packed.write_bytes(gzip.compress(b"id,sequence\nx,ACGT\n"))

    assert ask("score", packed).stdout.splitlines()[1] == "x\t3\t0\t-1.5\t-0.5\t1.5"


def test_gzip_that_ends_early_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in.fa.gz").write_bytes(gzip.compress(b">a\nACGT\n" * 100)[:-10])
    result = ask("score", tmp_path / "in.fa.gz", "-o", tmp_path / "out.tsv")

    assert "Error: Compressed file ended" in result.stderr
    assert result.exit_code == 1
    assert not (tmp_path / "out.tsv").exists()


@pytest.mark.parametrize(
    ("given", "families"), [("--mode=one_pass", "ESM-2"), ("--per-residue", "ESM-2 and ProGen2")]
)
def test_options_of_proteins_are_refused(source: Path, given: str, families: str) -> None:
    result = ask("score", source, given)

    name = given.partition("=")[0]
    assert f"{name} is for models of {families}, and 'evo2-7b' is one of Evo 2" in result.stderr
    assert result.exit_code == 2


def test_options_of_dna_are_refused_with_proteins(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRIMASE_SCORE_STRAND", "both")
    with serving(esm2=EveryAnswer()) as target:
        result = primase("score", source, "--server", target, "--model", "esm2-8m")

    assert "--strand is for models of Evo 2" in result.stderr
    assert result.exit_code == 2
