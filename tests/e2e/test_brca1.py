"""`primase variants` on all variants of BRCA1, through a live server."""

import csv
from pathlib import Path

import numpy as np
import pytest

import primase
from primase.fasta import read_fasta
from tests.e2e import brca1
from tests.e2e.server import Server

MODEL = "evo2-7b"
WINDOW_BASES = 8


def rows(path: Path, delimiter: str = ",") -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def test_every_reference_allele_is_that_of_the_region() -> None:
    (region,) = read_fasta(brca1.REGION)
    variants = rows(brca1.VARIANTS)

    assert len(variants) == brca1.NUM_LOF + brca1.NUM_OTHERS == 3_893
    assert all(
        region.sequence[int(v["pos_hg19"]) - brca1.FIRST_POSITION] == v["ref"] for v in variants
    )


def windows_of(row: dict[str, str]) -> tuple[str, str]:
    """The window of the reference, and with the variant."""
    (region,) = read_fasta(brca1.REGION)
    half = WINDOW_BASES // 2
    place = int(row["position"]) - brca1.FIRST_POSITION
    before, after = (
        region.sequence[place - half : place],
        region.sequence[place + 1 : place + half],
    )
    return before + row["ref"] + after, before + row["alt"] + after


@pytest.mark.timeout(300)
def test_every_variant_is_scored_and_the_area_is_that_of_the_scores(
    server: Server, client: primase.Client, tmp_path: Path
) -> None:
    output = tmp_path / "out.tsv"
    report = brca1.score(server, MODEL, output, "--window-bases", str(WINDOW_BASES), timeout_s=300)

    given, written = rows(brca1.VARIANTS), rows(output, "\t")
    for ours, theirs in (("position", "pos_hg19"), ("ref", "ref"), ("alt", "alt")):
        assert [row[ours] for row in written] == [row[theirs] for row in given]
    assert [row["label"] for row in written] == [row["func_class"] for row in given]

    (found,) = report["references"]
    assert (found["num_variants"], found["num_failed"]) == (3_893, 0)
    assert (found["num_positive"], found["num_negative"]) == (brca1.NUM_LOF, brca1.NUM_OTHERS)
    assert found["recipe"] == written[0]["recipe"]
    assert "untrained" in found["recipe"]
    assert (report["window_bases"], report["strand"]) == (WINDOW_BASES, "forward")

    every_200th = written[::200]
    windows = [window for row in every_200th for window in windows_of(row)]
    scores = [result.value.mean_log_likelihood for result in client.evo2(MODEL).score(windows)]
    for row, before, after in zip(every_200th, scores[::2], scores[1::2], strict=True):
        delta = float(row["delta_mean_log_likelihood"])
        assert delta == pytest.approx(after - before, rel=1e-3, abs=1e-4)

    # By definition: of all pairs, how many have the LOF variant less likely, ties counting half.
    is_lof = np.array([row["label"] == "LOF" for row in written])
    deltas = np.array([float(row["delta_mean_log_likelihood"]) for row in written])
    lof, others = deltas[is_lof][:, None], deltas[~is_lof][None, :]
    area = ((lof < others) + (lof == others) / 2).mean()
    assert found["auroc"] == pytest.approx(area, abs=1e-12)
    low, high = found["auroc_interval"]
    assert low < area < high
