"""`primase variants` on real assays, through a live server."""

import csv
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from primase import VariantQuery
from primase.esm2_client import Esm2
from primase.fasta import read_fasta
from tests.e2e.assays import ASSAYS, Assay
from tests.e2e.conftest import MODEL
from tests.e2e.server import COMMAND, Server

each_assay = pytest.mark.parametrize("assay", ASSAYS, ids=lambda assay: assay.name)


def rows(path: Path, delimiter: str = ",") -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def column(table: Sequence[dict[str, str]], name: str) -> list[str]:
    return [row[name] for row in table]


def run(server: Server, assay: Assay, output: Path, *args: str) -> Any:
    """Score an assay; the report."""
    report = output.with_suffix(".json")
    given = ("--variants", assay.variants, "-o", output, "--report", report)
    subprocess.run(
        (COMMAND, "variants", assay.wild_type, *given, "--server", server.target, *args),
        check=True,
        timeout=120,
    )
    return json.loads(report.read_text())


def ranks(values: Sequence[float]) -> list[float]:
    """By definition: how many are below, and half of those that are equal."""
    array = np.array(values)
    return [(array < v).sum() + ((array == v).sum() + 1) / 2 for v in values]


@each_assay
def test_every_wild_type_letter_is_that_of_the_sequence(assay: Assay) -> None:
    (wild_type,) = read_fasta(assay.wild_type)
    variants = column(rows(assay.variants), "mutant")

    assert len(variants) == assay.num_variants
    assert all(wild_type.sequence[int(v[1:-1]) - 1] == v[0] for v in variants)


@each_assay
@pytest.mark.parametrize("method", ["masked_marginal", "wildtype_marginal"])
def test_the_reported_correlation_is_that_of_the_written_scores(
    server: Server, tmp_path: Path, assay: Assay, method: str
) -> None:
    report = run(server, assay, tmp_path / "out.tsv", "--model", MODEL, "--method", method)
    given, written = rows(assay.variants), rows(tmp_path / "out.tsv", "\t")
    assert column(written, "variant") == column(given, "mutant")
    measured = [float(cell) for cell in column(written, "measured")]
    assert measured == [float(cell) for cell in column(given, "score")]

    scores = [float(cell) for cell in column(written, "score")]
    expected = np.corrcoef(ranks(scores), ranks(measured))[0, 1]
    (found,) = report.pop("wild_types")
    assert found["spearman"] == pytest.approx(expected, abs=1e-12)
    assert (found["num_variants"], found["num_failed"]) == (assay.num_variants, 0)
    assert report == {"model": MODEL, "method": method, "multi_mutant": "wildtype_fill"}


@each_assay
def test_the_scores_are_those_of_a_scan(
    server: Server, esm2: Esm2, tmp_path: Path, assay: Assay
) -> None:
    run(server, assay, tmp_path / "out.tsv", "--model", MODEL)
    (wild_type,) = read_fasta(assay.wild_type)
    (result,) = esm2.variants(VariantQuery(wild_type.sequence))
    scan, residues = result.value.scan, result.value.scan_residues
    assert scan is not None
    written = rows(tmp_path / "out.tsv", "\t")
    expected = [
        scan[int(r["variant"][1:-1]) - 1, residues.index(r["variant"][-1])] for r in written
    ]

    np.testing.assert_allclose(
        [float(cell) for cell in column(written, "score")], expected, rtol=1e-4, atol=1e-5
    )
