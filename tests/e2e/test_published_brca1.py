"""The published areas for BRCA1, where the official weights are at hand.

PRIMASE_WEIGHTS_DIR holds `evo2_7b.pt`, or a directory `evo2_7b` of its parts, for any of the
official names. Windows are 8,192 bases, so this is for a GPU.
"""

import os
from pathlib import Path

import pytest

from primase_server.models.evo2.config import SLUGS
from tests.e2e import brca1
from tests.e2e.server import serving

WEIGHTS = Path(os.environ["PRIMASE_WEIGHTS_DIR"])
TOLERANCE = 0.01  # published to two digits
LOAD_S = 1800
LIMIT_S = 12 * 3600


def weights_of(model: str) -> Path | None:
    """The checkpoint of a model, if it is there."""
    candidates = (WEIGHTS / f"{SLUGS[model]}.pt", WEIGHTS / SLUGS[model])
    return next((path for path in candidates if path.exists()), None)


@pytest.mark.timeout(LIMIT_S)
@pytest.mark.parametrize("model", [model for model in brca1.PUBLISHED_AUROC if weights_of(model)])
def test_the_area_is_the_published_one(model: str, tmp_path: Path) -> None:
    with serving(
        "--model", f"{model}={weights_of(model)}", "--withdraw-s=0", load_s=LOAD_S
    ) as server:
        report = brca1.score(server, model, tmp_path / "out.tsv", timeout_s=LIMIT_S)

    lowest, highest = brca1.PUBLISHED_AUROC[model]
    (found,) = report["references"]
    assert report["window_bases"] == 8192
    assert lowest - TOLERANCE <= found["auroc"] <= highest + TOLERANCE
