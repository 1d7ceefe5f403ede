"""Published numbers of the official weights, where these are at hand.

PRIMASE_WEIGHTS_DIR holds folders or archives by official name, such as `progen2-medium` or
`progen2-oas.tar.gz`. References: the sanity check of salesforce/progen (`progen2/sample.py`), whose
tolerance is 0.1, and answers of a hosted API.
"""

import json
import os
from functools import cache
from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy

from primase_server.models.progen2.archive import SUFFIXES
from primase_server.models.progen2.config import SLUGS
from primase_server.models.progen2.runner import ProGen2Runner
from primase_server.models.progen2.score import ScoreItem
from primase_server.models.progen2.tokens import TOKENS
from primase_server.models.progen2.weights import LocalWeights, load
from tests.outside import outside

WEIGHTS = Path(os.environ["PRIMASE_WEIGHTS_DIR"])

UNIREF90_BFD30 = (
    "2GFLPFRGADEGLAAREAATLAARGTAARAYREDSWAVPVPRGLLGDLTARVAALGAASPPPADPLAVTLDLHHVTAEVALTTVLDAA"
    "TLVHGQTRVLSAEDAAEAATAAAAATEAYLERLQDFVLFMSASVRVWRRGNAAGATGPEWDQWYTVADRDALGSAPTHLAVLGRQADA"
    "LCHFVLDRVAWGTCGTPLWSGDEDLGNVVATFAGYADRLATAPRDLIM1"
)
OAS = (
    "1EVQLVESGGGLVQPGGSLRLSCAASGFTFSSYAMHWVRQAPWKGLEYVSAISSNGGSTYYANSVKGRFTISRDNSKNTLYLQMGSLR"
    "AEDMAVYYCARDESGYSYGWGYYFDYWGQGTLVTVSS2"
)
BFD90 = (
    "1TAPRSTRASGSEGSRPPGIPAKGRRCLPSRAGSVTPRFRHARQGTATVAKEQGRKLIASNRKARHDYHIEDTFEAGLVLTGTEVKSL"
    "RMGRASLIDGYAVFYGEELWLEGVHIPEYLNGNWTNHTPRRRRKLLLNRSELTKLAHKTSESGHTIVPLALYFKDGRAKVEIAVAKGK"
    "KAYDKRHALRERQDQREV2"
)
CROSS_ENTROPIES = {
    "progen2-small": (UNIREF90_BFD30, 2.4),
    "progen2-medium": (UNIREF90_BFD30, 1.9),
    "progen2-base": (UNIREF90_BFD30, 1.9),
    "progen2-large": (UNIREF90_BFD30, 1.8),
    "progen2-xlarge": (UNIREF90_BFD30, 1.0),
    "progen2-oas": (OAS, 0.3),
    "progen2-BFD90": (BFD90, 1.3),
}
ROUNDED = "api_v3_progen2-oas_generate__ProGen2_API"  # to two decimals


@cache
def runner(variant: str) -> ProGen2Runner:
    names = [variant, *(variant + suffix for suffix in SUFFIXES)]
    found = [path for name in names if (path := WEIGHTS / name).exists()]
    if not found:
        pytest.skip(f"{variant} is not in PRIMASE_WEIGHTS_DIR")
    loaded = load(LocalWeights(found[0], variant))
    return ProGen2Runner(loaded.model, loaded.weights, variant=variant)


@pytest.mark.parametrize("variant", CROSS_ENTROPIES)
def test_the_sanity_cross_entropy(variant: str) -> None:
    text, expected = CROSS_ENTROPIES[variant]
    ids = torch.tensor([TOKENS.index(letter) for letter in text])
    model = runner(variant).model
    with torch.inference_mode():
        logits = model.logits(model.whole([ids]))
    assert float(cross_entropy(logits[:-1], ids[1:])) == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize(
    "slug", ["progen2-medium", "progen2-oas", "progen2-large", "progen2-bfd90"]
)
def test_likelihoods_of_a_hosted_api(slug: str) -> None:
    served = runner(SLUGS[slug])
    for path in sorted(outside("goldens/biolm").glob(f"*_{slug}_generate__*.json")):
        tolerance = 1e-2 if path.stem == ROUNDED else 1e-3
        [samples] = json.loads(path.read_text())["response"]["results"]
        for sample in samples:
            item = ScoreItem.build(served.served, sample["sequence"])
            score = item.finish(served.run([*item.passes()]))
            assert score.sum_log_likelihood == pytest.approx(sample["ll_sum"], rel=tolerance)
            assert score.mean_log_likelihood == pytest.approx(sample["ll_mean"], abs=tolerance)
