"""The published correlations of real assays, where the official weights are at hand.

PRIMASE_WEIGHTS_DIR holds `<name>.pt`, or the hub's directory `<name>`, for any of the official
names such as `esm2_t6_8M_UR50D`.
"""

import os
from pathlib import Path

import pytest

from primase_server.models.esm2.config import SLUGS
from tests.e2e.assays import ASSAYS, MODELS, Assay
from tests.e2e.server import serving
from tests.e2e.test_variant_effect import run

WEIGHTS = Path(os.environ["PRIMASE_WEIGHTS_DIR"])
TOLERANCE = 0.02


def weights_of(model: str) -> Path | None:
    """The checkpoint of a model, if it is there."""
    candidates = (WEIGHTS / f"{SLUGS[model]}.pt", WEIGHTS / SLUGS[model])
    return next((path for path in candidates if path.exists()), None)


SERVED = [model for model in MODELS if weights_of(model)]


def test_there_are_weights_for_some_models() -> None:
    assert SERVED


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("assay", ASSAYS, ids=lambda assay: assay.name)
@pytest.mark.parametrize("model", SERVED)
def test_the_correlation_is_the_published_one(model: str, assay: Assay, tmp_path: Path) -> None:
    with serving("--model", f"{model}={weights_of(model)}", "--withdraw-s=0") as server:
        report = run(server, assay, tmp_path / "out.tsv", "--model", model)

    (found,) = report["wild_types"]
    assert found["spearman"] == pytest.approx(assay.published[model], abs=TOLERANCE)
