"""Saturation editing of BRCA1 (Findlay et al. 2018), and what is published of it for Evo 2."""

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.e2e.server import COMMAND, Server

FOLDER = Path(__file__).parents[1] / "data" / "brca1"
REGION = FOLDER / "region.fasta"
VARIANTS = FOLDER / "variants.csv"

FIRST_POSITION = 41_193_626  # of the region, on chromosome 17 of hg19
NUM_LOF, NUM_OTHERS = 823, 2_821 + 249

# Lowest and highest AUROC of LOF against FUNC and INT by minus the change of the mean
# log-likelihood, windows of 8,192 bases, forward strand: the notebook of the evo2 repository
# and the README of BioNeMo's recipe.
PUBLISHED_AUROC = {
    "evo2-1b-base": (0.73, 0.74),
    "evo2-7b": (0.87, 0.88),
    "evo2-40b": (0.87, 0.88),
}


def score(server: Server, model: str, output: Path, *args: str, timeout_s: float) -> Any:
    """Score all of them; the report."""
    report = output.with_suffix(".json")
    subprocess.run(
        (
            *(COMMAND, "variants", REGION, "--variants", VARIANTS),
            *("--position-column", "pos_hg19", "--offset", str(FIRST_POSITION)),
            *("--score-column", "function_score_mean"),
            *("--label-column", "func_class", "--positive", "LOF"),
            *("--server", server.target, "--model", model, "-o", output, "--report", report),
            *args,
        ),
        check=True,
        timeout=timeout_s,
    )
    return json.loads(report.read_text())
