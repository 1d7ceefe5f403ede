"""Published production answers, where the official weights are at hand.

PRIMASE_WEIGHTS_DIR holds `<name>.pt` with its contact regression, or the hub's directory `<name>`,
for any of the official names such as `esm2_t6_8M_UR50D`. PRIMASE_GOLDENS_DIR holds the answers.
"""

import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from primase_server.models.esm2.alphabet import STANDARD_20, STANDARD_COLUMNS, TOKENS
from primase_server.models.esm2.config import SLUGS
from primase_server.models.esm2.encode import EncodeItem, Include
from primase_server.models.esm2.predict import PredictItem
from primase_server.models.esm2.probabilities import standard_log_probabilities
from primase_server.models.esm2.runner import Esm2Runner
from primase_server.models.esm2.score import ScoreItem, ScoreMode
from primase_server.models.esm2.weights import LocalWeights, load
from tests.models.esm2.gate import ABSOLUTE, RELATIVE, absolute_error, relative_error
from tests.models.esm2.goldens import Golden, read_goldens

WEIGHTS = Path(os.environ["PRIMASE_WEIGHTS_DIR"])


def weights_of(slug: str) -> Path | None:
    """The checkpoint of a served name, if it is there."""
    candidates = (WEIGHTS / f"{SLUGS[slug]}.pt", WEIGHTS / SLUGS[slug])
    return next((path for path in candidates if path.exists()), None)


def names(golden: Golden) -> str:
    return golden.name


GOLDENS = [golden for golden in read_goldens() if weights_of(golden.slug)]


@cache
def runner(slug: str) -> Esm2Runner:
    path = weights_of(slug)
    assert path is not None
    loaded = load(LocalWeights(path))
    return Esm2Runner(loaded.model, loaded.weights)


def test_there_are_weights_for_some_answers() -> None:
    assert GOLDENS


@pytest.mark.parametrize("golden", GOLDENS, ids=names)
def test_the_numbers_are_the_published_ones(golden: Golden) -> None:
    if golden.is_masked:
        check_prediction(golden)
    else:
        check_encoding(golden)
        check_score(golden)


def check_prediction(golden: Golden) -> None:
    run = runner(golden.slug)
    item = PredictItem.build(run.served, golden.sequence)
    result = item.finish(run.run(list(item.passes())))
    standard = result.logits[:, STANDARD_COLUMNS]
    assert relative_error(standard, golden.arrays["logits"]) <= RELATIVE


def check_encoding(golden: Golden) -> None:
    run = runner(golden.slug)
    include = set(Include) - {Include.ATTENTION_MAPS}
    layers = sorted({*golden.mean, *golden.per_token})
    item = EncodeItem.build(run.served, golden.sequence, layers, include)
    result = item.finish(run.run(list(item.passes())))
    assert result.mean is not None
    assert result.per_token is not None
    assert result.logits is not None
    for index, layer in enumerate(result.repr_layers):
        if layer in golden.mean:
            assert relative_error(result.mean[index], golden.mean[layer]) <= RELATIVE
        if layer in golden.per_token:
            assert relative_error(result.per_token[index], golden.per_token[layer]) <= RELATIVE
    for name in golden.arrays.keys() & {"contacts", "attentions"}:
        assert absolute_error(getattr(result, name), golden.arrays[name]) <= ABSOLUTE
    if "logits" in golden.arrays:
        standard = result.logits[:, STANDARD_COLUMNS]
        assert relative_error(standard, golden.arrays["logits"]) <= RELATIVE


def check_score(golden: Golden) -> None:
    if "logits" not in golden.arrays:
        return
    logits = np.zeros((len(golden.sequence), len(TOKENS)), dtype=np.float32)
    logits[:, STANDARD_COLUMNS] = golden.arrays["logits"]
    columns = [STANDARD_20.index(residue) for residue in golden.sequence]
    expected = standard_log_probabilities(logits)[np.arange(len(columns)), columns].sum()
    run = runner(golden.slug)
    item = ScoreItem.build(run.served, golden.sequence, ScoreMode.ONE_PASS)
    result = item.finish(run.run(list(item.passes())))
    assert result.sum_log_likelihood == pytest.approx(expected, rel=1e-4)
